//! Version 0.1 of the interface: `wit/v0.1` and the native vocabulary, back and forth.

mod advertise_addresses;
mod assign_addresses;
mod authorize_peer;
mod choose_credential;
mod imports;
mod narrow_selectors;
mod plan_lifetimes;
mod plan_maintenance;
mod question;
mod rank_paths;
mod rank_proposals;
mod types;

use vpnhost_policy::{QuestionKind, limits};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Result, Store};

use crate::guest::{Guest, printable};
use crate::loader::Outside;
use crate::settings::{SettingKind, SettingProblem, SettingValue, Settings};
use crate::{Manifest, SettingSpec};

#[allow(missing_docs, unreachable_pub, clippy::all)]
mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "host",
        imports: { default: trappable },
    });
}

use wit::exports::vpnhost::policy as exports;

/// A component whose imports are linked and whose exports have been found.
pub(crate) struct Plugin {
    pre: InstancePre<Guest>,
    describe: exports::describe::GuestIndices,
    configure: exports::configure::GuestIndices,
    migrate: Option<exports::migrate::GuestIndices>,
    rank_proposals: Option<exports::rank_proposals::GuestIndices>,
    authorize_peer: Option<exports::authorize_peer::GuestIndices>,
    narrow_selectors: Option<exports::narrow_selectors::GuestIndices>,
    rank_paths: Option<exports::rank_paths::GuestIndices>,
    plan_maintenance: Option<exports::plan_maintenance::GuestIndices>,
    assign_addresses: Option<exports::assign_addresses::GuestIndices>,
    choose_credential: Option<exports::choose_credential::GuestIndices>,
    advertise_addresses: Option<exports::advertise_addresses::GuestIndices>,
    plan_lifetimes: Option<exports::plan_lifetimes::GuestIndices>,
}

/// The exports of one instance; a question that is not exported is abstained from.
pub(crate) struct Bindings {
    describe: exports::describe::Guest,
    configure: exports::configure::Guest,
    migrate: Option<exports::migrate::Guest>,
    rank_proposals: Option<exports::rank_proposals::Guest>,
    authorize_peer: Option<exports::authorize_peer::Guest>,
    narrow_selectors: Option<exports::narrow_selectors::Guest>,
    rank_paths: Option<exports::rank_paths::Guest>,
    plan_maintenance: Option<exports::plan_maintenance::Guest>,
    assign_addresses: Option<exports::assign_addresses::Guest>,
    choose_credential: Option<exports::choose_credential::Guest>,
    advertise_addresses: Option<exports::advertise_addresses::Guest>,
    plan_lifetimes: Option<exports::plan_lifetimes::Guest>,
}

impl Plugin {
    /// Tells whether it takes over what another version stored.
    pub(crate) fn migrates(&self) -> bool {
        self.migrate.is_some()
    }

    /// Links what is granted and looks up the exports.
    pub(crate) fn new(component: &Component, asks: &Outside) -> Result<Self> {
        let mut linker = Linker::new(component.engine());
        imports::link(&mut linker, &asks.grants)?;
        let pre = linker.instantiate_pre(component)?;
        let asked = |kind: QuestionKind| asks.questions.contains(kind).then_some(&pre);
        Ok(Self {
            describe: exports::describe::GuestIndices::new(&pre)?,
            configure: exports::configure::GuestIndices::new(&pre)?,
            migrate: asks.migrates.then(|| exports::migrate::GuestIndices::new(&pre)).transpose()?,
            rank_proposals: asked(QuestionKind::RankProposals)
                .map(exports::rank_proposals::GuestIndices::new)
                .transpose()?,
            authorize_peer: asked(QuestionKind::AuthorizePeer)
                .map(exports::authorize_peer::GuestIndices::new)
                .transpose()?,
            narrow_selectors: asked(QuestionKind::NarrowSelectors)
                .map(exports::narrow_selectors::GuestIndices::new)
                .transpose()?,
            rank_paths: asked(QuestionKind::RankPaths)
                .map(exports::rank_paths::GuestIndices::new)
                .transpose()?,
            plan_maintenance: asked(QuestionKind::PlanMaintenance)
                .map(exports::plan_maintenance::GuestIndices::new)
                .transpose()?,
            assign_addresses: asked(QuestionKind::AssignAddresses)
                .map(exports::assign_addresses::GuestIndices::new)
                .transpose()?,
            choose_credential: asked(QuestionKind::ChooseCredential)
                .map(exports::choose_credential::GuestIndices::new)
                .transpose()?,
            advertise_addresses: asked(QuestionKind::AdvertiseAddresses)
                .map(exports::advertise_addresses::GuestIndices::new)
                .transpose()?,
            plan_lifetimes: asked(QuestionKind::PlanLifetimes)
                .map(exports::plan_lifetimes::GuestIndices::new)
                .transpose()?,
            pre,
        })
    }

    /// Starts an instance and checks the shape of its exports.
    pub(crate) fn instantiate(&self, store: &mut Store<Guest>) -> Result<Bindings> {
        let instance = self.pre.instantiate(&mut *store)?;
        Ok(Bindings {
            describe: self.describe.load(&mut *store, &instance)?,
            configure: self.configure.load(&mut *store, &instance)?,
            migrate: self.migrate.as_ref().map(|it| it.load(&mut *store, &instance)).transpose()?,
            rank_proposals: self
                .rank_proposals
                .as_ref()
                .map(|it| it.load(&mut *store, &instance))
                .transpose()?,
            authorize_peer: self
                .authorize_peer
                .as_ref()
                .map(|it| it.load(&mut *store, &instance))
                .transpose()?,
            narrow_selectors: self
                .narrow_selectors
                .as_ref()
                .map(|it| it.load(&mut *store, &instance))
                .transpose()?,
            rank_paths: self.rank_paths.as_ref().map(|it| it.load(&mut *store, &instance)).transpose()?,
            plan_maintenance: self
                .plan_maintenance
                .as_ref()
                .map(|it| it.load(&mut *store, &instance))
                .transpose()?,
            assign_addresses: self
                .assign_addresses
                .as_ref()
                .map(|it| it.load(&mut *store, &instance))
                .transpose()?,
            choose_credential: self
                .choose_credential
                .as_ref()
                .map(|it| it.load(&mut *store, &instance))
                .transpose()?,
            advertise_addresses: self
                .advertise_addresses
                .as_ref()
                .map(|it| it.load(&mut *store, &instance))
                .transpose()?,
            plan_lifetimes: self
                .plan_lifetimes
                .as_ref()
                .map(|it| it.load(&mut *store, &instance))
                .transpose()?,
        })
    }
}

impl Bindings {
    pub(crate) fn describe(&self, store: &mut Store<Guest>) -> Result<Manifest> {
        let info = self.describe.call_describe(store)?;
        let text = |text: &str| printable(text, limits::TEXT_OCTETS);
        let setting = |spec: &exports::describe::SettingSpec| SettingSpec {
            key: text(&spec.key),
            kind: SettingKind(spec.kind),
            required: spec.required,
            summary: text(&spec.summary),
        };
        Ok(Manifest {
            name: text(&info.name),
            version: text(&info.version),
            summary: text(&info.summary),
            answers: info.answers.iter().filter_map(|name| QuestionKind::from_name(name)).collect(),
            settings: info.settings.iter().map(setting).collect(),
        })
    }

    pub(crate) fn configure(
        &self,
        store: &mut Store<Guest>,
        settings: &Settings,
    ) -> Result<std::result::Result<(), Vec<SettingProblem>>> {
        let settings: Vec<exports::configure::Setting> = settings
            .iter()
            .map(|(key, setting)| exports::configure::Setting { key: key.clone(), value: value(setting) })
            .collect();
        let text = |text: &str| printable(text, limits::TEXT_OCTETS);
        let problem = |it: exports::configure::SettingProblem| SettingProblem {
            key: it.key.as_deref().map(text),
            problem: text(&it.problem),
        };
        let configured = self.configure.call_configure(store, &settings)?;
        Ok(configured.map_err(|problems| problems.into_iter().map(problem).collect()))
    }
}

impl Bindings {
    /// Has it take over what another version stored; the error is the plugin's own.
    pub(crate) fn migrate(
        &self,
        store: &mut Store<Guest>,
        from_version: &str,
    ) -> Result<std::result::Result<(), String>> {
        let Some(migrate) = &self.migrate else { return Ok(Ok(())) };
        let migrated = migrate.call_migrate(store, from_version)?;
        Ok(migrated.map_err(|why| printable(&why, limits::TEXT_OCTETS)))
    }
}

fn value(value: &SettingValue) -> exports::configure::Value {
    match value {
        SettingValue::Text(text) => exports::configure::Value::Text(text.clone()),
        SettingValue::Integer(integer) => exports::configure::Value::Integer(*integer),
        SettingValue::Number(number) => exports::configure::Value::Number(*number),
        SettingValue::Flag(flag) => exports::configure::Value::Flag(*flag),
        SettingValue::Texts(texts) => exports::configure::Value::Texts(texts.clone()),
    }
}
