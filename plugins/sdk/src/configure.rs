//! The operator's settings: what a plugin takes, and what it was given.

use std::ops::RangeInclusive;

use vpnhost_policy::Policy;

/// A policy that is made out of settings. A policy that is `Default` takes none.
pub trait Configure: Policy + Sized + 'static {
    /// The settings it takes; a key that is not here is refused before `configure` is called.
    const SETTINGS: &'static [SettingSpec] = &[];

    /// Makes the policy.
    ///
    /// # Errors
    /// Every problem with the settings, for the operator.
    fn configure(settings: &Settings) -> Result<Self, Vec<SettingProblem>>;
}

impl<P: Policy + Default + 'static> Configure for P {
    fn configure(_: &Settings) -> Result<Self, Vec<SettingProblem>> {
        Ok(Self::default())
    }
}

/// One setting that a plugin takes.
#[derive(Clone, Copy, Debug)]
pub struct SettingSpec {
    /// Its key.
    pub key: &'static str,
    /// What its value is.
    pub kind: SettingKind,
    /// Whether it must be given.
    pub required: bool,
    /// What it does, in a few words.
    pub summary: &'static str,
}

impl SettingSpec {
    /// Returns a setting that may be left out.
    pub const fn optional(key: &'static str, kind: SettingKind, summary: &'static str) -> Self {
        Self { key, kind, required: false, summary }
    }

    /// Returns a setting that must be given.
    pub const fn required(key: &'static str, kind: SettingKind, summary: &'static str) -> Self {
        Self { key, kind, required: true, summary }
    }
}

/// What a setting's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A list of texts.
    Texts,
}

impl SettingKind {
    /// Returns the number that crosses to the host.
    pub fn number(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::Integer => 1,
            Self::Number => 2,
            Self::Flag => 3,
            Self::Texts => 4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::Texts => "a list of texts",
        }
    }
}

/// A setting's value.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A list of texts.
    Texts(Vec<String>),
}

impl SettingValue {
    fn kind(&self) -> SettingKind {
        match self {
            Self::Text(_) => SettingKind::Text,
            Self::Integer(_) => SettingKind::Integer,
            Self::Number(_) => SettingKind::Number,
            Self::Flag(_) => SettingKind::Flag,
            Self::Texts(_) => SettingKind::Texts,
        }
    }

    /// A whole number will do where a number is wanted.
    fn fits(&self, kind: SettingKind) -> bool {
        self.kind() == kind || (self.kind() == SettingKind::Integer && kind == SettingKind::Number)
    }
}

/// Something wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The setting it is about, if it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: String,
}

impl SettingProblem {
    /// Returns a problem with one setting.
    pub fn with(key: &str, problem: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), problem: problem.into() }
    }

    /// Returns a problem that is not about one setting.
    pub fn general(problem: impl Into<String>) -> Self {
        Self { key: None, problem: problem.into() }
    }
}

/// What the operator set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Vec<(String, SettingValue)>);

impl Settings {
    /// Returns the settings of these keys and values.
    pub fn new(settings: impl IntoIterator<Item = (String, SettingValue)>) -> Self {
        Self(settings.into_iter().collect())
    }

    /// Returns a text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.value(key) {
            Some(SettingValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns a whole number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.value(key) {
            Some(SettingValue::Integer(integer)) => Some(*integer),
            _ => None,
        }
    }

    /// Returns a whole number within bounds; one outside is a problem.
    pub fn within(
        &self,
        key: &str,
        bounds: RangeInclusive<u32>,
        problems: &mut Vec<SettingProblem>,
    ) -> Option<u32> {
        let number = u32::try_from(self.integer(key)?).ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            let text = format!("must be {} to {}", bounds.start(), bounds.end());
            problems.push(SettingProblem::with(key, text));
        }
        number
    }

    /// Returns a number, also where a whole one was written.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.value(key) {
            Some(SettingValue::Number(number)) => Some(*number),
            Some(SettingValue::Integer(integer)) => Some(*integer as f64),
            _ => None,
        }
    }

    /// Returns a flag.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key) {
            Some(SettingValue::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    /// Returns a list of texts.
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        match self.value(key) {
            Some(SettingValue::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    /// Checks keys and kinds against what the plugin takes.
    ///
    /// # Errors
    /// Every unknown key, every value of another kind, every required key that is missing.
    pub fn check(&self, specs: &[SettingSpec]) -> Result<(), Vec<SettingProblem>> {
        let mut problems = Vec::new();
        for (key, value) in &self.0 {
            match specs.iter().find(|spec| spec.key == key) {
                None => problems.push(SettingProblem::with(key, unknown(specs))),
                Some(spec) if !value.fits(spec.kind) => {
                    problems.push(SettingProblem::with(key, format!("must be {}", spec.kind.name())));
                }
                Some(_) => {}
            }
        }
        let missing = specs.iter().filter(|spec| spec.required && self.value(spec.key).is_none());
        problems.extend(missing.map(|spec| SettingProblem::with(spec.key, "is required")));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn value(&self, key: &str) -> Option<&SettingValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

fn unknown(specs: &[SettingSpec]) -> String {
    let known: Vec<&str> = specs.iter().map(|spec| spec.key).collect();
    match known.as_slice() {
        [] => "is unknown: this plugin takes no settings".to_owned(),
        known => format!("is unknown: this plugin takes {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[SettingSpec] = &[
        SettingSpec { key: "from", kind: SettingKind::Text, required: true, summary: "" },
        SettingSpec { key: "ratio", kind: SettingKind::Number, required: false, summary: "" },
    ];

    fn settings(items: &[(&str, SettingValue)]) -> Settings {
        Settings::new(items.iter().map(|(key, value)| ((*key).to_owned(), value.clone())))
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let wrong = settings(&[("form", SettingValue::Flag(true)), ("ratio", SettingValue::Flag(true))]);
        let problems = wrong.check(SPECS).unwrap_err();
        let keys: Vec<_> = problems.iter().map(|it| it.key.as_deref().unwrap_or_default()).collect();
        assert_eq!(keys, ["form", "ratio", "from"]);
        assert_eq!(problems[0].problem, "is unknown: this plugin takes from, ratio");
    }

    #[test]
    fn a_number_out_of_its_bounds_is_a_problem() {
        let given = settings(&[("a", SettingValue::Integer(5)), ("b", SettingValue::Integer(-5))]);
        let mut problems = Vec::new();
        assert_eq!(given.within("a", 1..=9, &mut problems), Some(5));
        assert_eq!(given.within("c", 1..=9, &mut problems), None);
        assert_eq!(problems, []);
        assert_eq!(given.within("b", 1..=9, &mut problems), None);
        assert_eq!(problems, [SettingProblem::with("b", "must be 1 to 9")]);
    }

    #[test]
    fn a_whole_number_is_a_number() {
        let whole =
            settings(&[("from", SettingValue::Text("x".into())), ("ratio", SettingValue::Integer(2))]);
        assert_eq!(whole.check(SPECS), Ok(()));
        assert_eq!(whole.number("ratio"), Some(2.0));
    }
}
