//! The options of a trace as clients send them, and the tracer that they ask for.

use std::collections::BTreeMap;

use revm::primitives::hardfork::SpecId;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{
    Mux, Noop, Subject, TraceError, Tracer,
    call::CallTracer,
    flat::FlatCallTracer,
    four_byte::FourByteTracer,
    prestate::PrestateTracer,
    struct_log::{LoggerOptions, StructLogger},
};
use crate::decode::{DecodeError, Members, Parameter, strict};

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(crate) struct TraceOptions {
    pub(crate) logger: LoggerOptions,
    pub(crate) tracer: Option<String>,
    /// A duration in Go's notation.
    pub(crate) timeout: Option<String>,
    /// As it was sent; each tracer reads its own.
    pub(crate) tracer_config: Option<String>,
}

/// Their members, and those that only the options of a call's trace have.
pub(crate) const NAMES: [&str; 12] = [
    "enableMemory",
    "disableStack",
    "disableStorage",
    "enableReturnData",
    "limit",
    "tracer",
    "timeout",
    "reexec",
    "tracerConfig",
    "stateOverrides",
    "blockOverrides",
    "txIndex",
];

/// The Go type; clients see it.
const STRUCTURE: &str = "TraceConfig";

impl Parameter for TraceOptions {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        Self::of(&Members::read(json, &NAMES, "tracers.TraceConfig")?)
    }
}

impl TraceOptions {
    /// Takes them from an object that has been taken apart.
    pub(crate) fn of(members: &Members<'_, { NAMES.len() }>) -> Result<Self, DecodeError> {
        let flag = |name| members.take::<bool>(STRUCTURE, name).map(Option::unwrap_or_default);
        let limit: u64 = members.take(STRUCTURE, "limit")?.unwrap_or_default();
        let logger = LoggerOptions {
            enable_memory: flag("enableMemory")?,
            disable_stack: flag("disableStack")?,
            disable_storage: flag("disableStorage")?,
            enable_return_data: flag("enableReturnData")?,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        };
        // Accepted and without meaning: no block is ever executed again to find a state.
        members.take::<u64>(STRUCTURE, "reexec")?;
        Ok(Self {
            logger,
            tracer: members.take(STRUCTURE, "tracer")?,
            timeout: members.take(STRUCTURE, "timeout")?,
            tracer_config: members.get("tracerConfig").map(str::to_owned),
        })
    }

    /// A tracer for one transaction.
    pub(crate) fn tracer(
        &self,
        subject: &Subject,
        fork: SpecId,
    ) -> Result<Box<dyn Tracer>, TraceError> {
        match self.tracer.as_deref() {
            None | Some("") => Ok(Box::new(StructLogger::new(self.logger))),
            Some(name) => {
                let config = self.tracer_config.as_deref().unwrap_or("null");
                named(name, config, subject, fork, true)
            }
        }
    }
}

fn named(
    name: &str,
    config: &str,
    subject: &Subject,
    fork: SpecId,
    outermost: bool,
) -> Result<Box<dyn Tracer>, TraceError> {
    let config = if config == "null" { "{}" } else { config };
    Ok(match name {
        "callTracer" => Box::new(CallTracer::new(parse(config)?)),
        "flatCallTracer" => Box::new(FlatCallTracer::new(parse(config)?, subject.clone())),
        "prestateTracer" => Box::new(PrestateTracer::new(parse(config)?, fork)?),
        "4byteTracer" => Box::new(FourByteTracer::default()),
        "noopTracer" => Box::new(Noop),
        "muxTracer" if outermost => {
            let parts: BTreeMap<String, Box<RawValue>> = parse(config)?;
            let make = |(name, config): (String, Box<RawValue>)| {
                let tracer = named(&name, config.get(), subject, fork, false)?;
                Ok((name, tracer))
            };
            Box::new(Mux(parts.into_iter().map(make).collect::<Result<_, TraceError>>()?))
        }
        "muxTracer" => {
            return Err(TraceError::Options("muxTracer cannot contain another muxTracer".into()));
        }
        _ => {
            return Err(TraceError::Options(
                "JavaScript tracers are not supported; available are callTracer, flatCallTracer, \
                 prestateTracer, 4byteTracer, muxTracer, noopTracer and, without a name, the \
                 struct logger"
                    .into(),
            ));
        }
    })
}

fn parse<T: DeserializeOwned>(config: &str) -> Result<T, TraceError> {
    strict::from_str(config).map_err(|error| TraceError::Options(strict::reason(&error)))
}
