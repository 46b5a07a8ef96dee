//! The `[requires]` table of a job file: what a provider must have proved to get any of it.

use std::path::Path;

use serde::Deserialize;
use tilth_protocol::{Problem, challenge::class};
use tilth_service::ByteSize;

use super::{Offer, mistake};

/// The table as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RequiresText {
    #[serde(default)]
    classes: Vec<String>,
    vram: Option<ByteSize>,
}

impl RequiresText {
    /// Adds what is required to a job's offer.
    pub(super) fn add_to(&self, path: &Path, offer: &mut Offer) -> Result<(), Problem> {
        for name in &self.classes {
            let bit = class::bit_of(name).ok_or_else(|| {
                let names: Vec<_> = class::names().collect();
                let advice = format!("there are {}", names.join(", "));
                mistake(path, format!("requires.classes: there is no class {name:.40?}"), &advice)
            })?;
            offer.required_class |= bit;
        }
        let mib = self.vram.map_or(0, |vram| vram.bytes().div_ceil(1 << 20));
        offer.min_vram_mib = u32::try_from(mib).map_err(|_| {
            let advice = "write what a graphics card has, such as \"24GiB\"";
            mistake(path, format!("requires.vram is {mib} MiB"), advice)
        })?;
        Ok(())
    }
}
