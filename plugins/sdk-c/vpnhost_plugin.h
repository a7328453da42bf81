// What a plugin in C needs beside its answers: describe and configure, texts, and lines in the host's log.
//
//     static bool metered = true;
//     static const plugin_setting_t SETTINGS[] = {{.key = "metered", .summary = "...", .flag = &metered}, {0}};
//     static const char *const ANSWERS[] = {"rank-paths", NULL};
//     VPNHOST_PLUGIN("name", "0.1.0", "what it does", ANSWERS, SETTINGS)
//
//     bool exports_rank_paths_rank_paths(exports_rank_paths_path_menu_t *menu, exports_rank_paths_path_ranking_t *answer)
//
// An answer returns true, or false to abstain. It owns the question, and frees it (`..._free`); the host frees the answer,
// so what it points to is on the heap, and on it only. Functions and types are made of wit/ by `vpnhost plugin build`:
// they stand in target/bindings/vpnhost.h.
#ifndef VPNHOST_PLUGIN_H
#define VPNHOST_PLUGIN_H

#include <stdlib.h>
#include <string.h>

#include "vpnhost.h"

/// A setting that the plugin takes. Its kind is that of the one variable that is named; the variable's value is what
/// counts where the operator says nothing.
typedef struct {
    const char *key, *summary;
    bool required;
    bool *flag;
    int64_t *integer;
    double *number;
    vpnhost_string_t *text;
    vpnhost_list_string_t *texts;
} plugin_setting_t;

/// Defines describe and configure: the name, the version, what it does, the questions it answers (ends with NULL), the
/// settings it takes (ends with {0}).
#define VPNHOST_PLUGIN(name, version, summary, answers, settings)                                      \
    void exports_describe_describe(exports_describe_plugin_info_t *info) {                             \
        plugin_describe(info, name, version, summary, answers, settings);                              \
    }                                                                                                  \
    bool exports_configure_configure(exports_configure_list_setting_t *given,                          \
                                     exports_configure_list_setting_problem_t *problems) {             \
        return plugin_configure(given, problems, settings);                                            \
    }

/// Returns memory, zeroed. Where there is none the call ends, which is an abstention.
static inline void *plugin_memory(size_t count, size_t octets) {
    void *memory = calloc(count > 0 ? count : 1, octets);
    if (memory == NULL) __builtin_trap();
    return memory;
}

/// Returns a copy on the heap, for an answer.
static inline vpnhost_string_t plugin_text(const char *text) {
    vpnhost_string_t copy;
    vpnhost_string_dup(&copy, text);
    return copy;
}

/// Returns several texts as one, on the heap; the last argument is NULL.
static inline vpnhost_string_t plugin_join(const char *first, ...) {
    __builtin_va_list texts;
    size_t octets = 0;
    __builtin_va_start(texts, first);
    for (const char *it = first; it != NULL; it = __builtin_va_arg(texts, const char *)) octets += strlen(it);
    __builtin_va_end(texts);
    vpnhost_string_t joined = {plugin_memory(octets, 1), 0};
    __builtin_va_start(texts, first);
    for (const char *it = first; it != NULL; it = __builtin_va_arg(texts, const char *)) {
        memcpy(joined.ptr + joined.len, it, strlen(it));
        joined.len += strlen(it);
    }
    __builtin_va_end(texts);
    return joined;
}

/// Tells whether a text is this one.
static inline bool plugin_is(vpnhost_string_t text, const char *other) {
    return text.len == strlen(other) && memcmp(text.ptr, other, text.len) == 0;
}

/// Writes a line to the host's log: LOG_LEVEL_INFO and others.
static inline void plugin_log(log_level_t level, const char *message) {
    vpnhost_string_t line;
    vpnhost_string_set(&line, message);
    log_write(level, &line);
}

/// Ends the call with a reason in the host's log, as an assertion does.
static inline _Noreturn void plugin_fail(const char *why) {
    plugin_log(LOG_LEVEL_ERROR, why);
    __builtin_trap();
}

static inline size_t plugin_count(const plugin_setting_t *settings) {
    size_t count = 0;
    while (settings[count].key != NULL) count++;
    return count;
}

static inline uint8_t plugin_kind(const plugin_setting_t *setting) {
    if (setting->text != NULL) return EXPORTS_CONFIGURE_VALUE_TEXT;
    if (setting->integer != NULL) return EXPORTS_CONFIGURE_VALUE_INTEGER;
    if (setting->number != NULL) return EXPORTS_CONFIGURE_VALUE_NUMBER;
    if (setting->flag != NULL) return EXPORTS_CONFIGURE_VALUE_FLAG;
    return EXPORTS_CONFIGURE_VALUE_TEXTS;
}

static inline void plugin_describe(exports_describe_plugin_info_t *info, const char *name, const char *version,
                                   const char *summary, const char *const *answers,
                                   const plugin_setting_t *settings) {
    info->name = plugin_text(name);
    info->version = plugin_text(version);
    info->summary = plugin_text(summary);
    size_t count = 0;
    while (answers[count] != NULL) count++;
    info->answers.ptr = plugin_memory(count, sizeof *info->answers.ptr);
    info->answers.len = count;
    for (size_t at = 0; at < count; at++) info->answers.ptr[at] = plugin_text(answers[at]);
    info->settings.len = plugin_count(settings);
    info->settings.ptr = plugin_memory(info->settings.len, sizeof *info->settings.ptr);
    for (size_t at = 0; at < info->settings.len; at++) {
        exports_describe_setting_spec_t *spec = &info->settings.ptr[at];
        spec->key = plugin_text(settings[at].key);
        spec->kind = plugin_kind(&settings[at]);
        spec->required = settings[at].required;
        spec->summary = plugin_text(settings[at].summary);
    }
}

/// Takes a value over; what it points to is the plugin's own from now on. Says what is wrong with it.
static inline const char *plugin_take(const plugin_setting_t *setting, const exports_configure_value_t *value) {
    if (setting->text != NULL) {
        if (value->tag != EXPORTS_CONFIGURE_VALUE_TEXT) return "must be text";
        *setting->text = value->val.text;
    } else if (setting->integer != NULL) {
        if (value->tag != EXPORTS_CONFIGURE_VALUE_INTEGER) return "must be integer";
        *setting->integer = value->val.integer;
    } else if (setting->number != NULL) {
        bool is_whole = value->tag == EXPORTS_CONFIGURE_VALUE_INTEGER;
        if (!is_whole && value->tag != EXPORTS_CONFIGURE_VALUE_NUMBER) return "must be number";
        *setting->number = is_whole ? (double)value->val.integer : value->val.number;
    } else if (setting->flag != NULL) {
        if (value->tag != EXPORTS_CONFIGURE_VALUE_FLAG) return "must be flag";
        *setting->flag = value->val.flag;
    } else {
        if (value->tag != EXPORTS_CONFIGURE_VALUE_TEXTS) return "must be texts";
        *setting->texts = value->val.texts;
    }
    return NULL;
}

static inline void plugin_object(exports_configure_list_setting_problem_t *problems, vpnhost_string_t key,
                                 vpnhost_string_t problem) {
    exports_configure_setting_problem_t *it = &problems->ptr[problems->len++];
    vpnhost_string_t copy = {plugin_memory(key.len, 1), key.len};
    memcpy(copy.ptr, key.ptr, key.len);
    it->key = (vpnhost_option_string_t){.is_some = true, .val = copy};
    it->problem = problem;
}

static inline vpnhost_string_t plugin_unknown(const plugin_setting_t *settings) {
    size_t count = plugin_count(settings);
    if (count == 0) return plugin_text("is unknown: this plugin takes no settings");
    vpnhost_string_t text = plugin_text("is unknown: this plugin takes ");
    for (size_t at = 0; at < count; at++) {
        const char *comma = at > 0 ? ", " : "";
        size_t more = strlen(comma) + strlen(settings[at].key);
        text.ptr = realloc(text.ptr, text.len + more);
        if (text.ptr == NULL) __builtin_trap();
        memcpy(text.ptr + text.len, comma, strlen(comma));
        memcpy(text.ptr + text.len + strlen(comma), settings[at].key, strlen(settings[at].key));
        text.len += more;
    }
    return text;
}

static inline bool plugin_configure(exports_configure_list_setting_t *given,
                                    exports_configure_list_setting_problem_t *problems,
                                    const plugin_setting_t *settings) {
    size_t known = plugin_count(settings);
    problems->ptr = plugin_memory(given->len + known, sizeof *problems->ptr);
    problems->len = 0;
    bool *is_given = plugin_memory(known, sizeof *is_given);
    for (size_t at = 0; at < given->len; at++) {
        const exports_configure_setting_t *it = &given->ptr[at];
        size_t index = 0;
        while (index < known && !plugin_is(it->key, settings[index].key)) index++;
        if (index == known) {
            plugin_object(problems, it->key, plugin_unknown(settings));
            continue;
        }
        is_given[index] = true;
        const char *wrong = plugin_take(&settings[index], &it->value);
        if (wrong != NULL) plugin_object(problems, it->key, plugin_text(wrong));
    }
    for (size_t index = 0; index < known; index++) {
        vpnhost_string_t key;
        vpnhost_string_set(&key, settings[index].key);
        if (settings[index].required && !is_given[index]) plugin_object(problems, key, plugin_text("is required"));
    }
    free(is_given);
    return problems->len == 0;
}

#endif
