//! The pool beside one written as if speed did not matter, under random histories.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::{
    tests::{Sketch, made, order},
    *,
};

#[derive(Clone, Debug)]
enum Step {
    Insert(Sketch),
    Remove { who: u8, nonce: u64 },
    Refresh { who: u8, nonce: u64, balance: u64 },
    Follow { base_fee: u64, gas_limit: u64 },
    Wait { seconds: u64 },
}

const GAS: u64 = 21_000;

fn step() -> impl Strategy<Value = Step> {
    let fees = (5_u128..40, 0_u128..40);
    let size = prop_oneof![8 => Just(0_usize), 1 => Just(40_000)];
    prop_oneof![
        12 => (0_u8..5, 0_u64..8, fees, 0_u64..3, 0_u64..3, size).prop_map(
            |(who, nonce, (fee, tip), value, gas, size)| Step::Insert(Sketch {
                who,
                nonce,
                fee,
                tip: tip.min(fee),
                value: value * 400_000,
                gas: GAS + gas * 1000,
                size,
            })
        ),
        1 => (0_u8..5, 0_u64..8).prop_map(|(who, nonce)| Step::Remove { who, nonce }),
        3 => (0_u8..5, 0_u64..8, 0_u64..4).prop_map(|(who, nonce, balance)| Step::Refresh {
            who,
            nonce,
            balance: balance * 700_000,
        }),
        2 => (0_u64..45, 0_u64..6).prop_map(|(base_fee, gas)| Step::Follow {
            base_fee,
            gas_limit: GAS + gas * 1000,
        }),
        1 => (0_u64..60).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn limits() -> PoolLimits {
    PoolLimits {
        slots_max: 14,
        bytes_max: 90_000,
        queued_max: 6,
        per_sender_max: 6,
        per_sender_queued_max: 3,
        replacement_percent: 10,
        queued_lifetime_seconds: 100,
    }
}

#[derive(Clone, Debug)]
struct Known {
    sketch: Sketch,
    arrival: u64,
    bytes: usize,
    cost: u64,
}

/// Everything by looking at everything.
#[derive(Clone, Default)]
struct Model {
    accounts: BTreeMap<u8, (u64, u64)>,
    touched: BTreeMap<u8, u64>,
    transactions: BTreeMap<(u8, u64), Known>,
    base_fee: u64,
    arrivals: u64,
    now: u64,
}

type Price = (bool, u128, u128, u128);

impl Model {
    fn account(&self, who: u8) -> (u64, u64) {
        self.accounts.get(&who).copied().unwrap_or((0, u64::MAX))
    }

    fn executable(&self, who: u8) -> Vec<u64> {
        let (first, _) = self.account(who);
        (first..).take_while(|nonce| self.transactions.contains_key(&(who, *nonce))).collect()
    }

    fn is_executable(&self, who: u8, nonce: u64) -> bool {
        self.executable(who).contains(&nonce)
    }

    fn queued(&self) -> usize {
        let executable: usize = (0..5).map(|who| self.executable(who).len()).sum();
        self.transactions.len() - executable
    }

    fn price(&self, known: &Known) -> Price {
        let base_fee = u128::from(self.base_fee);
        let covers = known.sketch.fee >= base_fee;
        let paid = if covers {
            (known.sketch.fee - base_fee).min(known.sketch.tip)
        } else {
            known.sketch.fee
        };
        (covers, paid, known.sketch.fee, known.sketch.tip)
    }

    fn insert(&mut self, sketch: Sketch, bytes: usize) -> Result<(), &'static str> {
        let Sketch { who, nonce, .. } = sketch;
        let cost = u64::try_from(sketch.fee).unwrap() * sketch.gas + sketch.value;
        let (state, balance) = self.account(who);
        let old = self.transactions.get(&(who, nonce)).cloned();
        if old.as_ref().is_some_and(|old| format!("{:?}", old.sketch) == format!("{sketch:?}")) {
            return Err("already known");
        }
        if nonce < state {
            return Err("nonce too low");
        }
        if cost > balance {
            return Err("insufficient funds");
        }
        let executable = self.executable(who);
        let others = executable.iter().filter(|n| **n != nonce);
        let spent: u64 = others.map(|n| self.transactions[&(who, *n)].cost).sum();
        if spent + cost > balance {
            return Err("insufficient funds");
        }
        let known = Known { sketch, arrival: self.arrivals, bytes, cost };
        let queued = nonce > executable.last().map_or(state, |last| last + 1);
        if let Some(old) = &old {
            let raised = |new: u128, old: u128| new > old && new >= old * 110 / 100;
            if !(raised(sketch.fee, old.sketch.fee) && raised(sketch.tip, old.sketch.tip)) {
                return Err("replacement transaction underpriced");
            }
        } else {
            let count = self.transactions.keys().filter(|(w, _)| *w == who).count();
            if count >= limits().per_sender_max
                || queued && count - executable.len() >= limits().per_sender_queued_max
            {
                return Err("account limit exceeded");
            }
        }
        let before = self.transactions.clone();
        if let Err(reason) = self.make_room(&known, old.as_ref(), queued && old.is_none()) {
            self.transactions = before;
            return Err(reason);
        }
        let ready = self.executable(who).len();
        let empty = !self.transactions.keys().any(|(w, _)| *w == who);
        self.transactions.insert((who, nonce), known);
        if empty || old.is_some() || self.executable(who).len() > ready {
            self.touched.insert(who, self.now);
        }
        self.arrivals += 1;
        Ok(())
    }

    fn make_room(
        &mut self,
        new: &Known,
        old: Option<&Known>,
        queued: bool,
    ) -> Result<(), &'static str> {
        let slots = |known: &Known| known.bytes.div_ceil(SLOT_BYTES);
        loop {
            let freed = old.map_or((0, 0), |old| (slots(old), old.bytes));
            let used: usize = self.transactions.values().map(slots).sum();
            let bytes: usize = self.transactions.values().map(|known| known.bytes).sum();
            if used - freed.0 + slots(new) <= limits().slots_max
                && bytes - freed.1 + new.bytes <= limits().bytes_max
                && !(queued && self.queued() >= limits().queued_max)
            {
                return Ok(());
            }
            let tails: Vec<(u8, u64)> = (0..5)
                .filter_map(|who| {
                    let last = self.transactions.keys().rev().find(|(w, _)| *w == who);
                    last.copied()
                })
                .collect();
            let worst = |waits: bool| {
                let of_class = tails.iter().filter(|(w, n)| self.is_executable(*w, *n) != waits);
                of_class
                    .min_by_key(|key| {
                        let known = &self.transactions[key];
                        let (covers, paid, ..) = self.price(known);
                        (covers, paid, std::cmp::Reverse(known.arrival))
                    })
                    .copied()
            };
            let (victim, waits) = match (worst(true), worst(false)) {
                (Some(victim), _) => (victim, true),
                (None, Some(victim)) => (victim, false),
                (None, None) => return Err("txpool is full"),
            };
            let pays_more = self.price(new) > self.price(&self.transactions[&victim]);
            if !pays_more && (queued || !waits) {
                return Err("transaction underpriced");
            }
            if queued && !waits {
                return Err("future transaction");
            }
            let own = victim.0 == new.sketch.who;
            if own && (victim.1 == new.sketch.nonce || victim.1 < new.sketch.nonce && !waits) {
                return Err("txpool is full");
            }
            self.transactions.remove(&victim);
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Insert(_) => {}
            Step::Remove { who, nonce } => {
                self.transactions.remove(&(who, nonce));
            }
            Step::Refresh { who, nonce, balance } => {
                self.accounts.insert(who, (nonce, balance));
                self.transactions
                    .retain(|(w, n), known| *w != who || *n >= nonce && known.cost <= balance);
            }
            Step::Follow { base_fee, gas_limit } => {
                self.base_fee = base_fee;
                self.transactions.retain(|_, known| known.sketch.gas <= gas_limit);
            }
            Step::Wait { seconds } => {
                self.now += seconds;
                for who in 0..5 {
                    let ready = self.executable(who);
                    let idle = self.now - self.touched.get(&who).copied().unwrap_or_default()
                        > limits().queued_lifetime_seconds;
                    self.transactions.retain(|(w, n), _| *w != who || !idle || ready.contains(n));
                }
                while self.queued() > limits().queued_max {
                    let tails = (0..5).filter_map(|who| {
                        self.transactions.keys().rev().find(|(w, _)| *w == who).copied()
                    });
                    let worst =
                        tails.filter(|(w, n)| !self.is_executable(*w, *n)).min_by_key(|key| {
                            let known = &self.transactions[key];
                            let (covers, paid, ..) = self.price(known);
                            (covers, paid, std::cmp::Reverse(known.arrival))
                        });
                    self.transactions.remove(&worst.unwrap());
                }
            }
        }
    }

    fn order(&self, base_fee: u64) -> Vec<(u8, u64)> {
        let model = Self { base_fee, ..self.clone() };
        let mut next: BTreeMap<u8, Vec<u64>> = (0..5).map(|w| (w, model.executable(w))).collect();
        let mut order = Vec::new();
        loop {
            let heads = next.iter().filter_map(|(who, nonces)| Some((*who, *nonces.first()?)));
            let best =
                heads.filter(|key| model.price(&model.transactions[key]).0).max_by_key(|key| {
                    let known = &model.transactions[key];
                    (model.price(known).1, std::cmp::Reverse(known.arrival))
                });
            let Some((who, nonce)) = best else { return order };
            next.get_mut(&who).unwrap().remove(0);
            order.push((who, nonce));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn pool_agrees_with_a_simple_model(steps in vec(step(), 1..150), base_fee in 0_u64..45) {
        let mut pool = Pool::new(limits());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Insert(sketch) => {
                    let (nonce, balance) = model.account(sketch.who);
                    let account = Sender {
                        nonce,
                        balance: U256::from(balance),
                        code: SenderCode::None,
                    };
                    let prepared = Prepared::new(made(sketch));
                    let bytes = prepared.bytes;
                    let taken = pool.insert(prepared, account, model.now);
                    let expected = model.insert(sketch, bytes);
                    match (&taken, expected) {
                        (Ok(()), Ok(())) => {}
                        (Err(error), Err(reason)) => prop_assert!(
                            error.to_string().starts_with(reason), "{} is not {}", error, reason
                        ),
                        _ => prop_assert!(false, "{taken:?}, expected {expected:?}"),
                    }
                }
                Step::Remove { who, nonce } => pool.remove(Address::repeat_byte(who), nonce),
                Step::Refresh { who, nonce, balance } => {
                    let balance = U256::from(balance);
                    let account = Sender { nonce, balance, code: SenderCode::None };
                    pool.refresh(Address::repeat_byte(who), account);
                }
                Step::Follow { base_fee, gas_limit } => pool.follow(base_fee, gas_limit),
                Step::Wait { .. } => {}
            }
            model.apply(&step);
            if matches!(step, Step::Wait { .. }) {
                pool.expire(model.now);
            }
            check_against(&mut pool, &model, base_fee)?;
        }
    }
}

fn check_against(pool: &mut Pool, model: &Model, base_fee: u64) -> Result<(), TestCaseError> {
    let mut held: Vec<(u8, u64, u64, bool)> = pool
        .contents()
        .map(|(who, nonce, pooled, executable)| (who[0], nonce, pooled.arrival, executable))
        .collect();
    held.sort_unstable();
    let expected: Vec<_> = model
        .transactions
        .iter()
        .map(|((who, nonce), known)| {
            (*who, *nonce, known.arrival, model.is_executable(*who, *nonce))
        })
        .collect();
    prop_assert_eq!(held, expected);
    prop_assert_eq!(pool.counts(), (pool.len() - model.queued(), model.queued()));
    prop_assert_eq!(order(pool, base_fee), model.order(base_fee));
    prop_assert_eq!(pool.has_executable(base_fee), !model.order(base_fee).is_empty());
    pool.set_base_fee(model.base_fee);
    for who in 0..5 {
        let next = model.executable(who).last().map(|last| last + 1);
        prop_assert_eq!(pool.pending_nonce(&Address::repeat_byte(who)), next);
    }
    // Every index names exactly what is there, and every sum is right.
    prop_assert_eq!(pool.queued_tails.len() + pool.ready_tails.len(), pool.queues.len());
    let heads = (0..5).filter(|who| !model.executable(*who).is_empty()).count();
    prop_assert_eq!(pool.heads.len(), heads);
    prop_assert_eq!(pool.by_hash.len(), model.transactions.len());
    let bytes: usize = pool.contents().map(|(_, _, pooled, _)| pooled.bytes).sum();
    prop_assert_eq!(pool.bytes(), bytes);
    let slots: usize = pool.contents().map(|(_, _, pooled, _)| pooled.slots()).sum();
    prop_assert_eq!(pool.slots(), slots);
    for queue in pool.queues.values() {
        let ready = queue.transactions.range(..queue.next);
        prop_assert_eq!(queue.cost, ready.fold(U256::ZERO, |sum, (_, p)| sum + p.cost));
    }
    Ok(())
}
