//! The configuration of `tilth provider`: one declaration, from which come the file, the flags and the
//! reference page.

use std::{net::SocketAddr, path::Path, time::Duration};

use tilth_protocol::{Amount, Price, Problem, infer::Prices};
use tilth_provider::{Comfort, IdleRules, MAX_SLOTS, Offer, Power, infer::Model};
use tilth_sandbox::GpuUse;
use tilth_service::options;

use crate::{
    args::{Gpu, ProviderOptions},
    configuration::{Subject, page},
    data::{self, DataOptions},
};

const SUBJECT: Subject = Subject {
    what: "the provider's configuration",
    described: "`tilth provider config` prints",
    example: "idle.only-when-idle=true",
    prefix: "TILTH_PROVIDER",
    file_variable: "TILTH_PROVIDER_CONFIG",
};

tilth_service::options! {
    /// Everything an owner decides about a provider.
    #[derive(Clone, Debug)]
    pub struct ProviderConfig {
        /// Ranges worked on at the same time, 1 to 256.
        pub slots: u16 = 1,
        /// Stake to have at least, in GRAIN; missing stake is deposited and locked at the start.
        pub stake: String = "1000".to_owned(),
        /// Which GPU is offered: `off`, `hardware` (the machine's own, through its Vulkan driver) or `software` (a
        /// Vulkan driver that computes on the CPU; for tests).
        pub gpu: String = "off".to_owned(),
        /// Whether the machine is measured at the start, which takes some seconds, and the classes that it
        /// proves are announced. Without it jobs that ask for classes are not taken. See `tilth bench`.
        pub measure: bool = true,
        /// Least price of a Gfuel, in GRAIN, such as `0.0005`. The default takes any.
        pub price_floor: String = String::new(),
        /// Model blobs (files) of language models that are sold by token.
        pub models: Vec<String> = Vec::new(),
        /// Price of a million tokens of prompts, in GRAIN.
        pub input_price: String = "0.1".to_owned(),
        /// Price of a million tokens of answers, in GRAIN.
        pub output_price: String = "0.3".to_owned(),
        /// Where the data endpoint listens (UDP). Port 0 takes a free one.
        pub bind: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 0)),
        /// Addresses to publish instead of the bound ones, for a port forwarded by a router.
        pub advertise: Vec<String> = Vec::new(),
        /// How long results are served after they were paid.
        pub retention: Duration = Duration::from_secs(3_600),
        /// What the owner has free in the Ledger moves to its wallet whenever it is so much, in GRAIN: what came in,
        /// and what the same account deposited to spend. The default leaves it there.
        pub withdraw_above: String = String::new(),
        /// Whether an ending provider (SIGTERM, Ctrl-C) stays until all that it has delivered is paid, and serves it
        /// meanwhile: for one that does not come back. Otherwise its next start goes on with that. Not for a
        /// service, which is killed 90 seconds after it was told to stop.
        pub wait_for_pay: bool = false,
        /// When the machine works for others.
        pub idle: IdleRules = IdleRules::default(),
        /// Electricity: work that does not pay for it is left alone.
        pub power: PowerOptions = PowerOptions::default(),
        /// How data is moved.
        pub data: DataOptions = DataOptions::default(),
    }
}

tilth_service::options! {
    /// Electricity. What a unit of a job costs is known after its calibration task.
    #[derive(Clone, Debug)]
    pub struct PowerOptions {
        /// Watts that the machine draws more when all its slots work than when none does, at the wall.
        pub watts: u32 = 0,
        /// Price of a kilowatt-hour, in GRAIN, such as `0.25`.
        pub grain_per_kwh: String = String::new(),
    }
}

/// What the provider is started with, besides its keys and folders.
#[derive(Debug)]
pub struct Told {
    pub offer: Offer,
    pub gpu: GpuUse,
    pub measure: bool,
    pub bind: SocketAddr,
    pub advertise: Vec<SocketAddr>,
    pub retention: Duration,
    pub withdraw_above: Option<Amount>,
    pub comfort: Comfort,
}

impl ProviderConfig {
    /// The defaults, then the file, then the environment, then `--set` and the other flags.
    ///
    /// # Errors
    /// The file cannot be read, or something in these places is not an option or not possible.
    pub fn gather(usual: &Path, given: &ProviderOptions) -> Result<Self, Problem> {
        let mut config: Self = SUBJECT.gather(given.config.as_deref(), Some(usual), &given.set)?;
        config.flags(given);
        Ok(config)
    }

    /// The defaults, then the file if it is there, and nothing else.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is not an option or not possible.
    pub fn read(file: &Path) -> Result<Self, Problem> {
        let mut config = Self::default();
        if file.exists() {
            SUBJECT.load(&mut config, file)?;
        }
        Ok(config)
    }

    fn flags(&mut self, given: &ProviderOptions) {
        let text = |amount: Amount| amount.to_string();
        self.slots = given.slots.unwrap_or(self.slots);
        self.bind = given.bind.unwrap_or(self.bind);
        self.retention = given.retention.unwrap_or(self.retention);
        if let Some(stake) = given.stake {
            self.stake = text(stake);
        }
        if let Some(gpu) = given.gpu {
            gpu.word().clone_into(&mut self.gpu);
        }
        if let Some(floor) = &given.price_floor {
            self.price_floor.clone_from(floor);
        }
        if let Some(above) = given.withdraw_above {
            self.withdraw_above = text(above);
        }
        if !given.advertise.is_empty() {
            self.advertise = given.advertise.iter().map(ToString::to_string).collect();
        }
        if !given.relay.is_empty() {
            self.data.relay.clone_from(&given.relay);
        }
    }

    /// Checks everything and reads amounts.
    ///
    /// # Errors
    /// Something is not possible.
    pub fn told(&self) -> Result<Told, Problem> {
        if !(1..=MAX_SLOTS).contains(&self.slots) {
            let detail = format!("slots is {}", self.slots);
            let advice = format!("write 1 to {MAX_SLOTS}");
            return Err(Problem::new("the number of slots is not possible", detail, advice));
        }
        self.idle.check().map_err(|detail| {
            Problem::new("the idle rules are not possible", detail, "write 1 to 100, in percent")
        })?;
        let data = self.data.check()?;
        let power = Power {
            watts: self.power.watts,
            per_kwh: amount("power.grain-per-kwh", &self.power.grain_per_kwh)?,
        };
        if (power.watts == 0) != (power.per_kwh == Amount::ZERO) {
            return Err(Problem::new(
                "electricity needs both watts and a price",
                format!(
                    "watts is {}, grain-per-kwh is {:?}",
                    self.power.watts, self.power.grain_per_kwh
                ),
                "set both under [power], or neither",
            ));
        }
        let comfort = Comfort {
            idle: self.idle.clone(),
            power,
            relays: data.relays,
            upload: data.upload,
            download: data.download,
            content_bytes: data.content_bytes,
        };
        let withdraw_above = amount("withdraw-above", &self.withdraw_above)?;
        let prices = Prices {
            input: amount("input-price", &self.input_price)?,
            output: amount("output-price", &self.output_price)?,
        };
        Ok(Told {
            offer: Offer {
                slots: self.slots,
                stake: amount("stake", &self.stake)?,
                price_floor: self.floor()?,
                models: self.models.iter().map(|file| Model::new(file.into(), prices)).collect(),
                ..Offer::default()
            },
            gpu: self.gpu()?,
            measure: self.measure,
            bind: self.bind,
            advertise: data::addresses(&self.advertise)?,
            retention: self.retention,
            withdraw_above: (!self.withdraw_above.is_empty()).then_some(withdraw_above),
            comfort,
        })
    }

    fn gpu(&self) -> Result<GpuUse, Problem> {
        [Gpu::Off, Gpu::Hardware, Gpu::Software]
            .into_iter()
            .find(|gpu| gpu.word() == self.gpu)
            .map(GpuUse::from)
            .ok_or_else(|| {
                Problem::new(
                    "there is no such choice of a GPU",
                    format!("gpu is {:.40?}", self.gpu),
                    "write off, hardware or software",
                )
            })
    }

    fn floor(&self) -> Result<Price, Problem> {
        if self.price_floor.is_empty() {
            return Ok(Offer::default().price_floor);
        }
        Price::from_grain_per_gfuel(&self.price_floor).map_err(|error| {
            Problem::new(
                "the price floor is not valid",
                error.to_string(),
                "write GRAIN per Gfuel, such as 0.0005",
            )
        })
    }
}

/// An amount in GRAIN; nothing written is nothing.
fn amount(name: &str, text: &str) -> Result<Amount, Problem> {
    if text.is_empty() {
        return Ok(Amount::ZERO);
    }
    text.parse().map_err(|error| {
        Problem::new(
            "this is not an amount",
            format!("{name}: {error}"),
            "write GRAIN, such as 12.5",
        )
    })
}

/// The default configuration as a file, every option explained.
pub fn default_file() -> String {
    let head = "# Configuration of a provider: provider.toml in its folder, or `tilth provider NAME --config FILE`.\n\
                # Every option is shown with its default; those without one are commented out.\n\n";
    format!("{head}{}", options::file(&ProviderConfig::default()))
}

/// The reference page, for providers and clients.
pub fn reference() -> String {
    let example = options::variable(SUBJECT.prefix, "idle.only-when-idle");
    let mut text = format!(
        "# Configuration of a provider and of a client\n\n\
         Generated by `cargo xtask reference` from the declarations in the code; do not edit.\n\n\
         `tilth provider NAME` reads `providers/NAME/provider.toml` in the network's folder, or the file named \
         with `--config`; `tilth provider config` prints one with all defaults. Each option can also be given as \
         an environment variable (`{example}`) and as `--set idle.only-when-idle=true`; flags win over variables, \
         variables over the file. Unknown options are refused.\n"
    );
    page(&mut text, options::rows(&ProviderConfig::default()));
    text.push_str(
        "\n# Configuration of a client\n\n\
         `tilth run`, `tilth job` and the other commands of clients read `client.toml` in the network's folder if it \
         is there.\n",
    );
    page(&mut text, options::rows(&data::ClientConfig::default()));
    text
}

/// Environment variables that look like options and are none.
pub fn stray_variables() -> Vec<String> {
    SUBJECT.stray_variables(&options::rows(&ProviderConfig::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Told, Problem> {
        let mut config = ProviderConfig::default();
        options::read(&mut config, text)
            .map_err(|error| SUBJECT.refused("test", &error))
            .and_then(|()| config.told())
    }

    #[test]
    fn the_default_file_says_what_the_defaults_are() {
        let told = read(&default_file()).unwrap();
        assert_eq!(format!("{told:?}"), format!("{:?}", ProviderConfig::default().told().unwrap()));
        assert_eq!(told.offer.stake, "1000".parse().unwrap());
        assert_eq!(told.withdraw_above, None);
    }

    #[test]
    fn what_is_written_is_what_the_provider_is_told() {
        let told = read(
            "slots = 3\nprice-floor = \"0.5\"\nwithdraw-above = \"7\"\n\
             [idle]\nonly-when-idle = true\nschedule = [\"mon-fri 22:00-07:00\"]\nwhen-busy = \"finish\"\n\
             [power]\nwatts = 300\ngrain-per-kwh = \"0.25\"\n\
             [data]\nrelay = [\"https://relay.example.org\"]\nupload-bytes-per-second = \"2MiB\"\n",
        )
        .unwrap();
        assert_eq!(told.offer.slots, 3);
        assert_eq!(told.withdraw_above, Some("7".parse().unwrap()));
        assert!(told.comfort.idle.only_when_idle && !told.comfort.relays.is_empty());
        assert_eq!(told.comfort.power.slot_cost_per_hour(3), 25_000_000_000_000_000);
        assert_eq!(told.comfort.upload.unwrap().get(), 2 << 20);
        for wrong in [
            "slots = 0",
            "stake = \"much\"",
            "price-floor = \"x\"",
            "[power]\nwatts = 5",
            "slots = 257",
            "[idle]\ncpu-percent = 101",
            "[idle]\ngpu-percent = 0",
            "[idle]\nschedule = [\"noon\"]",
            "advertise = [\"x\"]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_reference_names_every_option() {
        let text = reference();
        for row in options::rows(&ProviderConfig::default()) {
            let name = row.key.rsplit('.').next().unwrap().to_owned();
            assert!(text.contains(&format!("`{name}`")) || row.is_group, "{}", row.key);
        }
    }
}
