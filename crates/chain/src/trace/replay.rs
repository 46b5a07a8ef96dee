//! A stored block executed again, transaction by transaction.

use alloy_consensus::Header;
use alloy_evm::{Evm, EvmEnv, IntoTxEnv};
use revm::{DatabaseCommit, context::TxEnv, inspector::NoOpInspector};

use super::{Place, Subject, TraceError, TraceOptions, logs_of, run};
use crate::{
    block::{ChainSpec, SealedHeader, Transaction},
    execution::{BlockAttributes, BlockBuilder, ExecutionError},
    message::{Watched, machine},
    state::{StateDiff, StateError, StateReader},
};

/// A moment between two transactions of a block.
pub(crate) struct Replay<R: StateReader> {
    place: Place<R>,
    logs: u64,
}

impl<R: StateReader> Replay<R> {
    /// Stands before the first transaction of the block with `header`, after what its fork does
    /// before transactions. `state` reads the parent's state.
    pub(crate) fn new(
        spec: &ChainSpec,
        parent: &SealedHeader,
        header: &Header,
        state: Watched<R>,
    ) -> Result<Self, ExecutionError> {
        let builder = BlockBuilder::new(spec, parent, BlockAttributes::of(header), state)?;
        let inner = builder.into_machine().into_inner();
        let place = Place {
            journal: inner.ctx.journaled_state.database,
            environment: EvmEnv { cfg_env: inner.ctx.cfg, block_env: inner.ctx.block },
            precompiles: inner.precompiles.into(),
        };
        Ok(Self { place, logs: 0 })
    }

    /// What the block has changed so far.
    pub(crate) fn diff(&mut self) -> Result<StateDiff, StateError> {
        self.place.journal.parent().watch.look()?;
        self.place.journal.diff()
    }

    /// What a machine that stands here works on.
    pub(crate) fn into_place(self) -> Place<R> {
        self.place
    }

    /// Executes the next transaction without a trace.
    pub(crate) fn skip(self, transaction: &Transaction) -> Result<Self, TraceError> {
        let Place { journal, environment, precompiles } = self.place;
        let mut machine = machine(journal, environment, precompiles, NoOpInspector, false);
        let outcome = machine.transact(transaction)?;
        let logs = self.logs + logs_of(&outcome.result);
        machine.db_mut().commit(outcome.state);
        let inner = machine.into_inner();
        let place = Place {
            journal: inner.ctx.journaled_state.database,
            environment: EvmEnv { cfg_env: inner.ctx.cfg, block_env: inner.ctx.block },
            precompiles: inner.precompiles,
        };
        Ok(Self { place, logs })
    }

    /// Executes the next transaction with a trace of at most `bytes_max`.
    pub(crate) fn trace(
        self,
        transaction: &Transaction,
        mut subject: Subject,
        options: &TraceOptions,
        bytes_max: usize,
    ) -> Result<(Self, String), TraceError> {
        subject.logs_before = self.logs;
        let tracer = options.tracer(&subject, self.place.environment.cfg_env.spec)?;
        let environment: TxEnv = transaction.into_tx_env();
        let traced = run(self.place, environment, &subject, tracer, bytes_max)?;
        let mut place = traced.place;
        let logs = self.logs + logs_of(&traced.outcome.result);
        place.journal.commit(traced.outcome.state);
        Ok((Self { place, logs }, traced.json))
    }
}
