//! What wit-bindgen makes of `wit/v0.1`: one world for what every plugin has, one per question.
//!
//! A component must export exactly the interfaces that it answers, hence a world per question: the
//! macro of each is expanded only in a plugin that answers it.
#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]

/// Types, imports, describe, configure. What a plugin does not use is not imported in the end.
pub mod base {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "
            package vpnhost:sdk;
            world base {
                import vpnhost:policy/types@0.1.0;
                import vpnhost:policy/log@0.1.0;
                import vpnhost:policy/kv@0.1.0;
                import vpnhost:policy/metrics@0.1.0;
                import vpnhost:policy/data@0.1.0;
                export vpnhost:policy/describe@0.1.0;
                export vpnhost:policy/configure@0.1.0;
            }
        ",
        world: "vpnhost:sdk/base",
        pub_export_macro: true,
        generate_all,
    });
}

/// Declares the bindings of one question.
macro_rules! question {
    ($module:ident, $world:literal, $interface:literal) => {
        /// One question.
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/v0.1",
                inline: $interface,
                world: $world,
                pub_export_macro: true,
                with: { "vpnhost:policy/types@0.1.0": crate::bindings::base::vpnhost::policy::types },
            });
        }
    };
}

question!(
    rank_proposals,
    "vpnhost:sdk/proposals",
    "package vpnhost:sdk; world proposals { export vpnhost:policy/rank-proposals@0.1.0; }"
);
question!(
    authorize_peer,
    "vpnhost:sdk/authorization",
    "package vpnhost:sdk; world authorization { export vpnhost:policy/authorize-peer@0.1.0; }"
);
question!(
    narrow_selectors,
    "vpnhost:sdk/selectors",
    "package vpnhost:sdk; world selectors { export vpnhost:policy/narrow-selectors@0.1.0; }"
);
question!(
    rank_paths,
    "vpnhost:sdk/paths",
    "package vpnhost:sdk; world paths { export vpnhost:policy/rank-paths@0.1.0; }"
);
question!(
    plan_maintenance,
    "vpnhost:sdk/maintenance",
    "package vpnhost:sdk; world maintenance { export vpnhost:policy/plan-maintenance@0.1.0; }"
);
question!(
    assign_addresses,
    "vpnhost:sdk/addresses",
    "package vpnhost:sdk; world addresses { export vpnhost:policy/assign-addresses@0.1.0; }"
);
question!(
    choose_credential,
    "vpnhost:sdk/credential",
    "package vpnhost:sdk; world credential { export vpnhost:policy/choose-credential@0.1.0; }"
);
question!(
    advertise_addresses,
    "vpnhost:sdk/advertisement",
    "package vpnhost:sdk; world advertisement { export vpnhost:policy/advertise-addresses@0.1.0; }"
);
question!(
    plan_lifetimes,
    "vpnhost:sdk/lifetimes",
    "package vpnhost:sdk; world lifetimes { export vpnhost:policy/plan-lifetimes@0.1.0; }"
);
/// Taking over a store; no question.
pub mod migrate {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "package vpnhost:sdk; world migration { export vpnhost:policy/migrate@0.1.0; }",
        world: "vpnhost:sdk/migration",
        pub_export_macro: true,
    });
}
