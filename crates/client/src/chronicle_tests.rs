//! What becomes known of replicated ranges, and when.

use alloy::primitives::{
    Bytes,
    aliases::{U40, U96},
};
use tilth_contracts::JobBook::{JobOpened, RangeSettled, RangeUnsealed};

use super::*;

fn terms(replicas: u8) -> Terms {
    Terms {
        specHash: B256::repeat_byte(1),
        taskCount: 10,
        unitCap: 10,
        prepareCap: 0,
        price: U96::from(3),
        floorPrice: U96::ZERO,
        finishSeconds: 0,
        window: 600,
        rangeTimeout: 200,
        targetSeconds: 60,
        parallelism: 1,
        firstRange: 10,
        deadline: U40::from(9),
        maxFailures: 0,
        requiredClass: 0,
        minVramMib: 0,
        afterJob: 0,
        audited: true,
        replicas,
        kept: false,
        callback: Address::ZERO,
        program: B256::ZERO,
        contact: Bytes::new(),
    }
}

/// A job of one range that is submitted: units are 20 at 3 each.
fn submitted(replicas: u8) -> Chronicle {
    let (client, provider) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let opened = JobOpened {
        jobId: 7,
        client,
        program: B256::ZERO,
        terms: terms(replicas),
        escrow: 1_000,
        at: U40::ZERO,
    };
    let mut chronicle = Chronicle::begin(&JobBookEvents::JobOpened(opened)).unwrap();
    let claimed = RangeClaimed {
        jobId: 7,
        seq: 0,
        provider,
        from: 0,
        count: 10,
        price: U96::from(3),
        escrow: 400,
        at: U40::ZERO,
    };
    let handed_in = RangeSubmitted {
        jobId: 7,
        seq: 0,
        provider,
        root: B256::repeat_byte(5),
        units: 20,
        failures: 0,
        contentHash: B256::ZERO,
        escrow: 880,
        at: U40::ZERO,
    };
    for event in [JobBookEvents::RangeClaimed(claimed), JobBookEvents::RangeSubmitted(handed_in)] {
        assert_eq!(chronicle.apply(&event), Ok(Some(0)));
    }
    chronicle
}

fn settle(chronicle: &mut Chronicle, mate: Address, paid: u128, fee: u128) {
    let second = MateSettled { jobId: 7, seq: 0, provider: mate, paid, fee };
    let provider = Address::repeat_byte(2);
    let first = RangeSettled {
        jobId: 7,
        seq: 0,
        provider,
        paid: 58,
        fee: 2,
        resultRoot: B256::repeat_byte(8),
    };
    assert_eq!(chronicle.apply(&JobBookEvents::MateSettled(second)), Ok(None));
    assert_eq!(chronicle.apply(&JobBookEvents::RangeSettled(first)), Ok(Some(0)));
}

#[test]
fn a_seal_is_no_root() {
    let plain = submitted(0);
    assert_eq!((plain.ranges[&0].root, plain.ranges[&0].seal), (B256::repeat_byte(5), None));
    assert!(plain.ranges[&0].can_be_checked());
    assert_eq!(plain.totals().pending, Amount(60));

    let mut chronicle = submitted(2);
    let range = &chronicle.ranges[&0];
    assert_eq!((range.root, range.seal), (B256::ZERO, Some(B256::repeat_byte(5))));
    assert!(range.has_results() && !range.can_be_checked());
    assert_eq!(chronicle.totals().pending, Amount(120), "for both");

    let root = B256::repeat_byte(6);
    let unsealed = JobBookEvents::RangeUnsealed(RangeUnsealed { jobId: 7, seq: 0, root });
    assert_eq!(chronicle.apply(&unsealed), Ok(Some(0)));
    let range = &chronicle.ranges[&0];
    assert_eq!((range.root, range.seal), (root, None));
    assert_eq!(range.claim(chronicle.job).root, root);
    assert!(range.can_be_checked());
}

#[test]
fn both_providers_of_a_range_are_paid_or_one_part_comes_back() {
    let mate = Address::repeat_byte(3);
    let mut chronicle = submitted(2);
    settle(&mut chronicle, mate, 59, 1);
    let paid = Some(Mate { provider: mate, paid: Amount(59), fee: Amount(1) });
    assert_eq!(chronicle.ranges[&0].mate, paid);
    let totals = chronicle.totals();
    assert_eq!((totals.paid, totals.fees), (Amount(58 + 59), Amount(3)));
    assert_eq!((totals.escrow, totals.pending), (Amount(880), Amount(0)));
    let shares: Vec<_> = totals
        .providers
        .iter()
        .map(|share| (share.provider, share.ranges, share.tasks, share.mated, share.earned))
        .collect();
    let first = (Address::repeat_byte(2), 1, 10, 0, Amount(58));
    assert_eq!(shares, [first, (mate, 0, 0, 1, Amount(59))], "together all that was paid");

    let mut chronicle = submitted(2);
    settle(&mut chronicle, Address::ZERO, 60, 0);
    assert_eq!(chronicle.ranges[&0].mate, None);
    let totals = chronicle.totals();
    assert_eq!((totals.paid, totals.fees, totals.escrow), (Amount(58), Amount(2), Amount(940)));
}

#[test]
fn a_root_of_a_range_that_nobody_claimed_is_a_gap() {
    let mut chronicle = submitted(2);
    let root = B256::ZERO;
    let unsealed = JobBookEvents::RangeUnsealed(RangeUnsealed { jobId: 7, seq: 4, root });
    assert!(chronicle.apply(&unsealed).is_err());
}
