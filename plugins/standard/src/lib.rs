#![doc = include_str!("../README.md")]

use vpnhost_policy_standard::Standard;

vpnhost_plugin_sdk::export_policy!(
    Standard: rank_proposals,
    authorize_peer,
    narrow_selectors,
    rank_paths,
    plan_maintenance,
    assign_addresses,
    choose_credential,
    advertise_addresses,
    plan_lifetimes
);
