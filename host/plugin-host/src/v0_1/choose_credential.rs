//! `choose-credential`.

use vpnhost_policy::{CredentialChoice, CredentialFacts, CredentialMenu};
use wasmtime::{Result, Store};

use super::exports::choose_credential as wit;
use super::{Bindings, types};
use crate::guest::Guest;

impl Bindings {
    pub(crate) fn choose_credential(
        &self,
        store: &mut Store<Guest>,
        menu: &CredentialMenu,
    ) -> Result<Option<CredentialChoice>> {
        let Some(question) = &self.choose_credential else { return Ok(None) };
        let menu = wit::CredentialMenu {
            connection: menu.connection.clone(),
            local_id: types::identity(&menu.local_id),
            remote: types::endpoint(menu.remote),
            unix_secs: menu.unix_secs,
            requested: menu.requested,
            credentials: menu.credentials.iter().map(credential).collect(),
            hints: types::attributes(&menu.hints),
        };
        let answer = question.call_choose_credential(store, &menu)?;
        Ok(answer.map(|it| CredentialChoice { index: it.index, why: types::why(it.why) }))
    }
}

fn credential(credential: &CredentialFacts) -> wit::CredentialFacts {
    wit::CredentialFacts {
        subject: credential.subject.clone(),
        issuer: credential.issuer.clone(),
        serial: credential.serial.clone(),
        sha256: credential.sha256.clone(),
        expires_unix_secs: credential.expires_unix_secs,
        is_requested: credential.is_requested,
        key: credential.key.clone(),
        hints: types::attributes(&credential.hints),
    }
}
