//! The files of Wycheproof: JSON, groups of cases that share parameters.

use serde_json::Value;

use super::octets;

/// A case with its group.
pub(super) struct Vector {
    group: Value,
    case: Value,
}

impl Vector {
    pub(super) fn name(&self) -> String {
        self.case["tcId"].to_string()
    }

    pub(super) fn octets(&self, name: &str) -> Vec<u8> {
        octets(self.case[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.case)))
    }

    pub(super) fn bits(&self, name: &str) -> u16 {
        let number = self.group[name].as_u64().and_then(|number| u16::try_from(number).ok());
        number.unwrap_or_else(|| panic!("no {name} in a group"))
    }

    pub(super) fn result(&self) -> &str {
        self.case["result"].as_str().expect("each case has one")
    }

    pub(super) fn has_flag(&self, flag: &str) -> bool {
        self.case["flags"].as_array().is_some_and(|flags| flags.iter().any(|known| known == flag))
    }
}

/// Reads a file.
pub(super) fn vectors(text: &str) -> Vec<Vector> {
    let file: Value = serde_json::from_str(text).expect("JSON");
    let mut vectors = Vec::new();
    for group in file["testGroups"].as_array().expect("groups") {
        let mut parameters = group.clone();
        let cases = parameters.as_object_mut().and_then(|group| group.remove("tests")).expect("cases");
        for case in cases.as_array().expect("a list") {
            vectors.push(Vector { group: parameters.clone(), case: case.clone() });
        }
    }
    assert_eq!(Some(vectors.len() as u64), file["numberOfTests"].as_u64());
    vectors
}
