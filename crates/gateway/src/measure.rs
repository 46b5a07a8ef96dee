//! Numbers for those who watch a gateway.

use std::sync::Arc;

use tilth_service::{
    Registry,
    metrics::{Counter, Gauge, Histogram},
};

use crate::market::Market;

/// Upper bounds for the time to a first token, in seconds.
const FIRST_TOKEN: &[f64] =
    &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// What is counted.
#[derive(Clone, Debug)]
pub(crate) struct Measures {
    pub(crate) connections: Gauge,
    pub(crate) refused_connections: Counter,
    pub(crate) requests: Counter,
    pub(crate) refused: Counter,
    pub(crate) answers: Counter,
    pub(crate) under_way: Gauge,
    pub(crate) prompt_tokens: Counter,
    pub(crate) output_tokens: Counter,
    pub(crate) retries: Counter,
    pub(crate) failures: Counter,
    pub(crate) broken_streams: Counter,
    pub(crate) first_token: Histogram,
    pub(crate) settled_tabs: Counter,
    pub(crate) settlement_failures: Counter,
    pub(crate) payer_short: Gauge,
    pub(crate) uncovered: Gauge,
}

impl Measures {
    pub(crate) fn new(registry: &Registry) -> Self {
        let count = |name, help| registry.counter(name, help, &[]);
        Self {
            connections: registry.gauge("tilth_gateway_connections", "Open connections.", &[]),
            refused_connections: count(
                "tilth_gateway_refused_connections_total",
                "Connections for which there was no place.",
            ),
            requests: count("tilth_gateway_requests_total", "Requests."),
            refused: count("tilth_gateway_refused_total", "Requests answered with an error."),
            answers: count("tilth_gateway_answers_total", "Answers that ended and were charged."),
            under_way: registry.gauge("tilth_gateway_under_way", "Answers under way.", &[]),
            prompt_tokens: count(
                "tilth_gateway_prompt_tokens_total",
                "Tokens of prompts that were charged.",
            ),
            output_tokens: count(
                "tilth_gateway_output_tokens_total",
                "Tokens of answers that were charged.",
            ),
            retries: count(
                "tilth_gateway_retries_total",
                "Answers that another provider was asked for.",
            ),
            failures: count("tilth_gateway_provider_failures_total", "Failures of providers."),
            broken_streams: count(
                "tilth_gateway_broken_streams_total",
                "Streams that ended with an error after they had begun.",
            ),
            first_token: registry.histogram(
                "tilth_gateway_first_token_seconds",
                "From a question to its first token, as providers take it.",
                &[],
                FIRST_TOKEN,
            ),
            settled_tabs: count(
                "tilth_gateway_settled_tabs_total",
                "Providers' tabs that were settled from the gateway's account.",
            ),
            settlement_failures: count(
                "tilth_gateway_settlement_failures_total",
                "Settlements from the gateway's account that failed; they are tried again.",
            ),
            payer_short: registry.gauge(
                "tilth_gateway_payer_short",
                "1 while the gateway's account has less in the Ledger than it owes.",
                &[],
            ),
            uncovered: registry.gauge(
                "tilth_gateway_uncovered_owners",
                "Owners whose keys are refused because nobody can pay for them (covered-only).",
                &[],
            ),
        }
    }

    /// Adds what is asked for when it is looked at.
    pub(crate) fn watch(registry: &Registry, market: &Arc<Market>) {
        let (providers, models) = (Arc::clone(market), Arc::clone(market));
        registry.read_gauge(
            "tilth_gateway_providers",
            "Providers that sell models.",
            &[],
            move || providers.size().0 as f64,
        );
        registry.read_gauge("tilth_gateway_models", "Models on sale.", &[], move || {
            models.size().1 as f64
        });
    }
}
