//! What may be cut from whom, for what nobody holds.

use tilth_protocol::amount::GRAIN;

use super::*;
use crate::trust::{
    kept_play::{CLIENT, ID, PROVIDER, Play},
    mind::Service,
};

/// What the range is worth, of ten units; its audit has 2 % of it, or up to half.
const VALUE: u128 = 10 * GRAIN;
const BILL_LEAST: u128 = VALUE / 25;
const TENTH: u128 = VALUE / 10;
const STAKE: u128 = 1_000 * GRAIN;
/// So finely are shares of the stake told apart, at most; the second cut is of less.
const FINE: u128 = STAKE / 1_000_000_000;

fn scene() -> Scene {
    let mut scene = Play::new(Service::Nobody, 0).scene;
    scene.public.ranges.get_mut(&ID).unwrap().price = VALUE / 10;
    scene
}

fn cut(losses: &mut Losses, (owner, beneficiary): (Address, Address), sum: u128, stake: u128) {
    let given = sum / 2;
    let (to_beneficiary, burned, unbonding) = (given, sum - given, 0);
    losses.cut(&Registry::StakeSlashed {
        owner,
        beneficiary,
        toBeneficiary: to_beneficiary,
        burned,
        stake,
        unbonding,
    });
}

/// Whether it is right that a stake is cut so, for two beneficiaries, when `Holders` says that it was the second.
fn are_due(scene: &Scene, of: [Address; 2], [bill, lost]: [u128; 2]) -> bool {
    let mut losses = Losses::default();
    // What was cut for something else has nothing to do with it.
    cut(&mut losses, (PROVIDER, CLIENT), 7, STAKE);
    losses.begin();
    cut(&mut losses, (PROVIDER, of[0]), bill, STAKE - bill);
    cut(&mut losses, (PROVIDER, of[1]), lost, STAKE - bill - lost);
    losses.are_due(ID, lost, scene)
}

#[test]
fn twice_the_bill_is_cut_for_the_purse_and_a_tenth_for_the_client() {
    let scene = scene();
    let of = [scene.farm.addresses().audits, CLIENT];
    for (cuts, is_right) in [
        ([BILL_LEAST, TENTH], true),
        // The audit was at its cost.
        ([VALUE, TENTH], true),
        ([BILL_LEAST, TENTH + FINE / 2], true),
        ([BILL_LEAST - 1, TENTH], false),
        ([VALUE + 2 * FINE, TENTH], false),
        ([BILL_LEAST, TENTH - 1], false),
        ([BILL_LEAST, TENTH + 2 * FINE], false),
    ] {
        assert_eq!(are_due(&scene, of, cuts), is_right, "{cuts:?}");
    }
    let [purse, client] = of;
    for others in [[client, client], [purse, purse], [client, purse], [purse, PROVIDER]] {
        assert!(!are_due(&scene, others, [BILL_LEAST, TENTH]), "{others:?}");
    }
}

#[test]
fn what_is_cut_is_the_providers_and_what_was_said() {
    let scene = scene();
    let purse = scene.farm.addresses().audits;
    for (owner, said, is_right) in
        [(PROVIDER, TENTH, true), (CLIENT, TENTH, false), (PROVIDER, TENTH - 1, false)]
    {
        let mut losses = Losses::default();
        cut(&mut losses, (PROVIDER, purse), BILL_LEAST, STAKE);
        cut(&mut losses, (owner, CLIENT), TENTH, STAKE - TENTH);
        assert_eq!(losses.are_due(ID, said, &scene), is_right, "{owner} {said}");
    }
    let mut losses = Losses::default();
    cut(&mut losses, (PROVIDER, CLIENT), TENTH, STAKE);
    assert!(!losses.are_due(ID, TENTH, &scene), "the audit has nothing of it");
}

#[test]
fn half_of_each_is_given_and_the_rest_is_burned() {
    let scene = scene();
    let purse = scene.farm.addresses().audits;
    for (given, is_right) in [(BILL_LEAST / 2, true), (BILL_LEAST / 2 + 1, false), (0, false)] {
        let mut losses = Losses::default();
        losses.cut(&Registry::StakeSlashed {
            owner: PROVIDER,
            beneficiary: purse,
            toBeneficiary: given,
            burned: BILL_LEAST - given,
            stake: STAKE,
            unbonding: 0,
        });
        cut(&mut losses, (PROVIDER, CLIENT), TENTH, STAKE);
        assert_eq!(losses.are_due(ID, TENTH, &scene), is_right, "{given}");
    }
}

#[test]
fn a_stake_that_does_not_reach_is_cut_to_its_end_and_not_before() {
    let scene = scene();
    let purse = scene.farm.addresses().audits;
    // What the client's cut leaves, and what that of the purse leaves.
    for (lost, left, is_right) in [(TENTH - 1, 0, true), (TENTH - 1, FINE, false)] {
        let mut losses = Losses::default();
        cut(&mut losses, (PROVIDER, purse), BILL_LEAST, lost + left);
        cut(&mut losses, (PROVIDER, CLIENT), lost, left);
        assert_eq!(losses.are_due(ID, lost, &scene), is_right, "{left}");
    }
    for (bill, left, is_right) in [(BILL_LEAST - 1, 0, true), (BILL_LEAST, FINE, false)] {
        let mut losses = Losses::default();
        cut(&mut losses, (PROVIDER, purse), bill, left);
        assert_eq!(losses.are_due(ID, 0, &scene), is_right, "{left}");
        losses.begin();
        assert_eq!(losses.are_due(ID, 0, &scene), is_right, "nothing is left for the next one");
    }
    assert!(!Losses::default().are_due(ID, 0, &scene), "nothing was cut");
}

#[test]
fn our_bill_is_the_contracts() {
    let parameters = include_str!("../../../../contracts/src/libraries/Parameters.sol");
    for (name, value, share) in
        [("AUDIT_SHARE", "20_000_000", BILL.0), ("MAX_CHARGE", "500_000_000", BILL.1)]
    {
        assert!(parameters.contains(&format!(" constant {name} = {value};")), "{name}");
        assert_eq!(value.replace('_', "").parse::<u32>().ok(), Some(share.0), "{name}");
    }
}
