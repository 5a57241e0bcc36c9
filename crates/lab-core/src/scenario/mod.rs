//! Campaigns and variants: the only place where numbers of an experiment are tuned.
//!
//! `scenarios/<campaign>.toml` and `scenarios/variants/<name>.toml` are parsed strictly and checked
//! once, before anything starts; only the typed result goes further.

mod campaign;
mod fault;
mod gate;
mod operator;
mod profile;
mod restore;
mod scale_out;
mod topology;
mod trials;
mod variant;

pub use campaign::{Campaign, CampaignError, Database, Service, Slo, TopologyForbidden};
pub use fault::{Fault, FaultPhaseTooShort};
pub use gate::{FigureMargin, GateFigure, GateSpec, GateSpecError, MachineSpec};
pub use operator::{FaultTooShort, OperatorAction};
pub use profile::{Phase, PhaseLengths, PhaseOverrides, Profile};
pub use restore::{NothingToRestore, Restore};
pub use scale_out::{JoinsTooLate, Network, Registry, ScaleOut};
pub use topology::{
    FaultNotThere, FaultRefused, Servers, Topology, TopologySettings, TopologySettingsError,
};
pub use trials::Trials;
pub use variant::{
    CONTROL, ResolvedVariant, VariantError, VariantFile, VariantPhaseTooShort, resolve_variant,
};
