//! Roles: groups of questions that operators name, and the nearest of a list of names.

use vpnhost_policy::{QuestionKind, QuestionSet};

/// Every role and its questions.
pub(crate) const ROLES: [(&str, &[QuestionKind]); 3] = [
    (
        "ike-policy",
        &[
            QuestionKind::RankProposals,
            QuestionKind::AuthorizePeer,
            QuestionKind::NarrowSelectors,
            QuestionKind::AssignAddresses,
            QuestionKind::ChooseCredential,
            QuestionKind::PlanLifetimes,
        ],
    ),
    ("address-selection", &[QuestionKind::RankPaths, QuestionKind::AdvertiseAddresses]),
    ("liveness", &[QuestionKind::PlanMaintenance]),
];

/// Returns the questions of a role.
///
/// # Errors
/// Names the roles there are, the nearest first.
pub(crate) fn questions_of(role: &str) -> Result<QuestionSet, String> {
    let found = ROLES.iter().find(|(name, _)| *name == role);
    found.map(|(_, kinds)| kinds.iter().copied().collect()).ok_or_else(|| {
        let names = ROLES.map(|(name, _)| name);
        match nearest(role, names) {
            Some(near) => format!("unknown role \"{role}\"; did you mean \"{near}\"?"),
            None => format!("unknown role \"{role}\"; there are {}", names.join(", ")),
        }
    })
}

/// Returns the role of a question.
pub(crate) fn role_of(kind: QuestionKind) -> &'static str {
    ROLES.iter().find(|(_, kinds)| kinds.contains(&kind)).map_or("", |(name, _)| name)
}

/// Returns the name most like a mistyped one, if any is like it.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let is_like = |name: &&str| strsim::jaro_winkler(wrong, name) > 0.7;
    // Of several that are like it, the one with the fewest mistakes; of several such, the first.
    names.into_iter().filter(is_like).min_by_key(|name| strsim::levenshtein(wrong, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_a_role() {
        for kind in QuestionKind::ALL {
            assert!(questions_of(role_of(kind)).unwrap().contains(kind));
        }
    }

    #[test]
    fn the_nearest_name_is_found() {
        assert_eq!(nearest("mobile", ["name", "mobike", "metered"]), Some("mobike"));
        assert_eq!(nearest("aes129", ["aes192", "aes128", "aes256"]), Some("aes128"));
        assert_eq!(nearest("zzz", ["name", "mobike"]), None);
    }
}
