//! What a plugin author builds on: implement [`policy::Policy`], name the questions it answers, done.
//!
//! ```
//! use vpnhost_plugin_sdk::policy::{PathMenu, PathRanking, Policy};
//!
//! /// Takes whatever path comes first.
//! #[derive(Default)]
//! struct AsListed;
//!
//! impl Policy for AsListed {
//!     fn name(&self) -> &str {
//!         "as-listed"
//!     }
//!
//!     fn rank_paths(&self, menu: &PathMenu) -> Option<PathRanking> {
//!         Some(PathRanking::of(0..menu.paths.len()).because("the order of the menu"))
//!     }
//! }
//!
//! vpnhost_plugin_sdk::export_policy!(AsListed: rank_paths);
//! ```
//!
//! A policy that takes settings implements [`Configure`]; one that is `Default` takes none. Compiled
//! for wasm32 the crate becomes a component (`cargo xtask build-plugins`); compiled natively it is an
//! ordinary library, whose tests run as usual with the menus of [`fixtures`].
//!
//! What an operator may grant a plugin beside the [`log`] are [`kv`], a small store of its own, [`metrics`], numbers
//! that it shows, and [`data`], tables to look into. A component imports what it uses of them, and no more.

mod advertise_addresses;
mod assign_addresses;
mod authorize_peer;
#[doc(hidden)]
pub mod bindings;
mod choose_credential;
#[doc(hidden)]
pub mod component;
pub mod configure;
mod convert;
pub mod data;
pub mod day;
pub mod fixtures;
mod interfaces;
pub mod kv;
pub mod log;
pub mod metrics;
mod migrate;
mod narrow_selectors;
mod plan_lifetimes;
mod plan_maintenance;
mod rank_paths;
mod rank_proposals;

pub use vpnhost_model as model;
pub use vpnhost_policy as policy;

pub use configure::{Configure, SettingKind, SettingProblem, SettingSpec, SettingValue, Settings};
pub use interfaces::Interfaces;
pub use migrate::Migrate;

/// Makes a component out of a policy that answers the named questions.
///
/// The component's name, version and summary are those of the crate, the name without a leading
/// `vpnhost-plugin-`. `; migrate` behind the questions exports [`Migrate`], too. Natively the macro only checks that the policy can be configured.
#[macro_export]
macro_rules! export_policy {
    ($policy:ty: $($question:ident),+; migrate) => {
        $crate::export_policy!($policy: $($question),+);

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            #[doc(hidden)]
            pub struct Migration;

            impl $crate::bindings::migrate::exports::vpnhost::policy::migrate::Guest for Migration {
                fn migrate(
                    from_version: ::std::string::String,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    <$policy as $crate::Migrate>::migrate(&from_version)
                }
            }

            $crate::bindings::migrate::export!(Migration with_types_in $crate::bindings::migrate);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            fn can_migrate<P: $crate::Migrate>() {}
            can_migrate::<$policy>();
        };
    };
    ($policy:ty: $($question:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            #[doc(hidden)]
            pub struct Component;

            static POLICY: ::std::sync::OnceLock<$policy> = ::std::sync::OnceLock::new();

            impl $crate::bindings::base::exports::vpnhost::policy::describe::Guest for Component {
                fn describe() -> $crate::bindings::base::exports::vpnhost::policy::describe::PluginInfo {
                    $crate::component::describe::<$policy>(
                        [
                            env!("CARGO_PKG_NAME"),
                            env!("CARGO_PKG_VERSION"),
                            env!("CARGO_PKG_DESCRIPTION"),
                        ],
                        &[$(stringify!($question)),+],
                    )
                }
            }

            impl $crate::bindings::base::exports::vpnhost::policy::configure::Guest for Component {
                fn configure(
                    settings: ::std::vec::Vec<
                        $crate::bindings::base::exports::vpnhost::policy::configure::Setting,
                    >,
                ) -> ::std::result::Result<
                    (),
                    ::std::vec::Vec<
                        $crate::bindings::base::exports::vpnhost::policy::configure::SettingProblem,
                    >,
                > {
                    $crate::component::configure(&POLICY, settings)
                }
            }

            $crate::bindings::base::export!(Component with_types_in $crate::bindings::base);
            $($crate::export_question!($question, Component, POLICY);)+
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || {
            fn can_be_configured<P: $crate::Configure>() {}
            can_be_configured::<$policy>();
        };
    };
}

/// Exports one question; see [`export_policy!`].
#[doc(hidden)]
#[macro_export]
macro_rules! export_question {
    (rank_proposals, $component:ident, $state:ident) => {
        $crate::export_question!(@ rank_proposals, ProposalMenu, Ranking, $component, $state);
    };
    (authorize_peer, $component:ident, $state:ident) => {
        $crate::export_question!(@ authorize_peer, PeerClaim, Authorization, $component, $state);
    };
    (narrow_selectors, $component:ident, $state:ident) => {
        $crate::export_question!(@ narrow_selectors, SelectorMenu, Narrowing, $component, $state);
    };
    (rank_paths, $component:ident, $state:ident) => {
        $crate::export_question!(@ rank_paths, PathMenu, PathRanking, $component, $state);
    };
    (plan_maintenance, $component:ident, $state:ident) => {
        $crate::export_question!(@ plan_maintenance, Situation, MaintenancePlan, $component, $state);
    };
    (assign_addresses, $component:ident, $state:ident) => {
        $crate::export_question!(@ assign_addresses, AddressMenu, Assignment, $component, $state);
    };
    (choose_credential, $component:ident, $state:ident) => {
        $crate::export_question!(@ choose_credential, CredentialMenu, CredentialChoice, $component, $state);
    };
    (advertise_addresses, $component:ident, $state:ident) => {
        $crate::export_question!(@ advertise_addresses, AdvertisementMenu, Advertisement, $component, $state);
    };
    (plan_lifetimes, $component:ident, $state:ident) => {
        $crate::export_question!(@ plan_lifetimes, LifetimeMenu, Lifetimes, $component, $state);
    };
    (@ $question:ident, $menu:ident, $answer:ident, $component:ident, $state:ident) => {
        impl $crate::bindings::$question::exports::vpnhost::policy::$question::Guest for $component {
            fn $question(
                menu: $crate::bindings::$question::exports::vpnhost::policy::$question::$menu,
            ) -> ::std::option::Option<
                $crate::bindings::$question::exports::vpnhost::policy::$question::$answer,
            > {
                $crate::component::$question($state.get()?, menu)
            }
        }
        $crate::bindings::$question::export!($component with_types_in $crate::bindings::$question);
    };
}
