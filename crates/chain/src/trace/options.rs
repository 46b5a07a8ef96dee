//! The options of a trace as clients send them, and the tracer that they ask for.

use std::collections::BTreeMap;

use revm::primitives::hardfork::SpecId;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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
    pub(crate) tracer_config: Value,
}

const NAMES: [&str; 9] = [
    "enableMemory",
    "disableStack",
    "disableStorage",
    "enableReturnData",
    "limit",
    "tracer",
    "timeout",
    "reexec",
    "tracerConfig",
];

/// The Go type; clients see it.
const STRUCTURE: &str = "TraceConfig";

impl Parameter for TraceOptions {
    fn decode(json: &str) -> Result<Self, DecodeError> {
        let members = Members::read(json, &NAMES, "tracers.TraceConfig")?;
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
            tracer_config: members.own("tracerConfig")?.unwrap_or_default(),
        })
    }
}

impl TraceOptions {
    /// A tracer for one transaction.
    pub(crate) fn tracer(
        &self,
        subject: &Subject,
        fork: SpecId,
    ) -> Result<Box<dyn Tracer>, TraceError> {
        match self.tracer.as_deref() {
            None | Some("") => Ok(Box::new(StructLogger::new(self.logger))),
            Some(name) => named(name, self.tracer_config.clone(), subject, fork, true),
        }
    }
}

fn named(
    name: &str,
    config: Value,
    subject: &Subject,
    fork: SpecId,
    outermost: bool,
) -> Result<Box<dyn Tracer>, TraceError> {
    let config = if config.is_null() { Value::Object(Map::new()) } else { config };
    Ok(match name {
        "callTracer" => Box::new(CallTracer::new(parse(config)?)),
        "flatCallTracer" => Box::new(FlatCallTracer::new(parse(config)?, subject.clone())),
        "prestateTracer" => Box::new(PrestateTracer::new(parse(config)?, fork)?),
        "4byteTracer" => Box::new(FourByteTracer::default()),
        "noopTracer" => Box::new(Noop),
        "muxTracer" if outermost => {
            let parts: BTreeMap<String, Value> = parse(config)?;
            let make = |(name, config): (String, Value)| {
                let tracer = named(&name, config, subject, fork, false)?;
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

fn parse<T: DeserializeOwned>(config: Value) -> Result<T, TraceError> {
    strict::from_value(&config).map_err(|error| TraceError::Options(error.to_string()))
}
