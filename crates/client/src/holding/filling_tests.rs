//! What is locked of a deposit, and what is said when that cannot be.

use tilth_contracts::JobState;

use super::*;
use crate::holding::{
    hand::Post,
    node::{LATER, LEAST, NOW, RANGE, TASKS, account, agreed, each, job, keep, prices},
    party::Party,
    subject::Subject,
    words::Effect,
};

const OPEN: JobState = JobState::Open;

/// The deposit is used up, nothing is out, and the job was opened from another folder: nobody else sees to it.
#[tokio::test]
async fn what_could_not_be_locked_is_tried_again_also_from_another_folder() {
    let (account, node) = account(job(OPEN, (1, 0), LATER), keep(0, 0), false).await;
    let agreed = agreed(account.address());
    let tried = async {
        while node.lock().unwrap().tried.len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    let filling = async {
        let every = Duration::from_millis(1);
        tokio::select! {
            () = fill_up(&account, &agreed, Filling::new(None), every) => unreachable!(),
            () = tried => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(120), Box::pin(filling)).await.expect("again");
    assert_eq!(node.lock().unwrap().tried[..3], [each(); 3]);
}

#[tokio::test]
async fn only_what_a_range_can_need_is_locked() {
    // What is to be claimed and what is out, until when; what is free, what is added, and for how many it must reach.
    for (state, ranges, deadline, free, adds, due) in [
        (OPEN, (1, 0), LATER, 0, 1, 1),
        (OPEN, (1, 0), NOW, 0, 1, 1),
        (OPEN, (1, 1), LATER, 1, 1, 2),
        (OPEN, (1, 1), LATER, 2, 0, 2),
        // All is claimed: the last range has what it needs, or the last two have not.
        (OPEN, (0, 1), LATER, 1, 0, 1),
        (OPEN, (0, 2), LATER, 1, 1, 2),
        (OPEN, (0, 0), LATER, 0, 0, 1),
        // Nothing can be claimed any more.
        (OPEN, (1, 1), NOW - 1, 1, 0, 1),
        (OPEN, (1, 0), NOW - 1, 0, 0, 1),
        (JobState::Draining, (1, 3), LATER, 1, 0, 1),
        (JobState::Done, (0, 0), LATER, 0, 0, 1),
    ] {
        let shown = job(state, ranges, deadline);
        let (account, node) = account(shown, keep(free * each(), 0), false).await;
        let mut filling = Filling::new(None);
        let done = Box::pin(filling.lock(&account, &agreed(account.address()))).await;
        let text = format!("{state} {ranges:?} {deadline} {free}");
        assert_eq!(done.is_err(), adds != 0, "{text}: {done:?}");
        let tried = node.lock().unwrap().tried.clone();
        assert_eq!(tried.first().copied(), (adds != 0).then_some(adds * each()), "{text}");
        assert_eq!(filling.most(), 2 * u128::from(TASKS) * each());
        let subject = Subject::range(account.link(), RANGE).await.unwrap();
        assert_eq!(subject.out, due, "{text}");
    }
}

#[tokio::test]
async fn nobody_but_its_client_locks_anything() {
    let (account, node) = account(job(OPEN, (1, 0), LATER), keep(0, 0), false).await;
    let mut filling = Filling::new(Some(Deposit::by_chain(&prices(), LEAST, (TASKS, 1))));
    let others = agreed(alloy::primitives::Address::repeat_byte(9));
    Box::pin(filling.see_to(&account, &others)).await.unwrap();
    assert_eq!((filling.offer, node.lock().unwrap().tried.len()), (None, 0));
}

#[test]
fn what_was_used_up_is_filled_up_for_what_is_out_and_the_next_range() {
    let (each, all) = (7, 21);
    let most = 2 * all;
    assert_eq!(lack(3 * each, (all, 0), most), Lack::Nothing, "it reaches for all three");
    assert_eq!(lack(3 * each, (all, 1), most), Lack::Within(1));
    assert_eq!(lack(each, (all, all), most), Lack::Within(each), "others may still earn it");
    assert_eq!(lack(each, (0, 0), most), Lack::Within(each), "all of it was spent");
    assert_eq!(lack(3 * each, (all, all), most), Lack::Within(all), "as much again");
    assert_eq!(lack(4 * each, (all, all), most), Lack::Beyond(4 * each), "but no more than that");
    let all = lack(u128::MAX, (u128::MAX, u128::MAX), most);
    assert_eq!(all, Lack::Beyond(u128::MAX));
}

/// The keeper of its ranges, who has seen one that needs it, what fills it up now and then, and another command here.
#[tokio::test]
async fn however_many_fill_it_up_at_a_time_it_is_filled_up_once() {
    let (account, node) = account(job(OPEN, (1, 1), LATER), keep(0, 0), true).await;
    let deposit = Deposit::by_chain(&prices(), LEAST, (TASKS, 1));
    let post = Post {
        account: account.clone(),
        party: Party::Client,
        from_block: 0,
        job: Some(RANGE.job),
        most: deposit.most(),
    };
    let agreed = agreed(account.address());
    let mut filling = Filling::new(Some(deposit));
    let fund = Effect::Fund { range: RANGE, due: 2 * each() };
    let (first, second, third) = tokio::join!(
        Box::pin(post.send(RANGE, &fund)),
        Box::pin(filling.see_to(&account, &agreed)),
        Box::pin(deposit.lock(&account, RANGE.job)),
    );
    first.and(second).and(third).unwrap();
    let node = node.lock().unwrap();
    assert_eq!(node.sent.len(), 1, "{:?}", node.sent);
    assert_eq!((&node.tried[..], node.keep.deposit.to::<u128>()), (&[2 * each()][..], 2 * each()));
}

/// What a range was seen to need before others had what they did not earn then.
#[tokio::test]
async fn a_deposit_does_not_grow_above_its_limit_by_what_was_seen_before() {
    let deposit = Deposit::by_chain(&prices(), LEAST, (TASKS, 1));
    let most = deposit.most();
    for (left, reserved, adds) in [
        (most, most, None),
        (most - each() + 1, most - each() + 1, None),
        (most - each(), most - each(), Some(each())),
        (most - each(), most - 2 * each(), None),
    ] {
        let shown = job(OPEN, (0, 1), LATER);
        let (account, node) = account(shown, keep(left, reserved), true).await;
        let (party, job) = (Party::Client, Some(RANGE.job));
        let post = Post { account, party, from_block: 0, job, most };
        let fund = Effect::Fund { range: RANGE, due: each() };
        Box::pin(post.send(RANGE, &fund)).await.unwrap();
        let node = node.lock().unwrap();
        assert_eq!(node.tried.first().copied(), adds, "{left} {reserved}");
        assert!(node.keep.deposit.to::<u128>() <= most);
    }
}

#[tokio::test]
async fn that_a_deposit_may_not_grow_any_more_is_said_once() {
    let most = Deposit::by_chain(&prices(), LEAST, (TASKS, 1)).most();
    for (unclaimed, what) in [(1, "gives out no more ranges"), (0, "paid without being held")] {
        // All but one base unit of what the last range needs is reserved.
        let shown = job(OPEN, (unclaimed, 1), LATER);
        let (account, node) = account(shown, keep(most, most - each() + 1), false).await;
        let agreed = agreed(account.address());
        let mut filling = Filling::new(None);
        let told = Box::pin(filling.lock(&account, &agreed)).await.unwrap().expect("it is said");
        let ranges = u128::from(unclaimed) + 1;
        let [lacks, due, limit] =
            [ranges * each() - (each() - 1), ranges * each(), most].map(Amount);
        assert!(told.what.contains("job 1") && told.what.contains(what), "{told}");
        assert!(told.detail.contains(&format!("lacks {lacks} GRAIN of the {due} GRAIN")), "{told}");
        assert!(told.detail.contains(&format!("limit of {limit} GRAIN")), "{told}");
        assert!(told.advice.contains("tilth job cancel 1"), "{told}");
        for _ in 0..3 {
            assert_eq!(Box::pin(filling.lock(&account, &agreed)).await.unwrap(), None);
        }
        assert_eq!(node.lock().unwrap().tried.len(), 0, "above what is set");
    }
}

#[tokio::test]
async fn what_could_not_be_done_is_said_as_it_is() {
    let shown = job(OPEN, (1, 0), LATER);
    let (account, node) = account(shown, keep(0, 0), false).await;
    let agreed = agreed(account.address());
    let mut filling = Filling::new(Some(Deposit::by_chain(&prices(), LEAST, (TASKS, 1))));
    // What is locked is used up; nothing is; and that is not known.
    for (is_locked, is_mute, what) in [
        (true, false, "the deposit of job 1 cannot be filled up"),
        (false, false, "nothing is locked"),
        (true, true, "cannot be looked at"),
    ] {
        {
            let mut node = node.lock().unwrap();
            node.keep.maxMib = if is_locked { prices().max_mib } else { 0 };
            node.is_mute = is_mute;
        }
        let error = Box::pin(filling.lock(&account, &agreed)).await.unwrap_err();
        let told = filling.failed(agreed.job, &error);
        assert!(told.what.contains(what), "{told}");
        assert_eq!(told.detail, error.to_string());
    }
}
