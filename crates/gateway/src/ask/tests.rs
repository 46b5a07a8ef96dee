//! What comes of providers that fail in every way.

use std::time::Duration;

use tilth_protocol::{
    Amount,
    infer::{
        Schema,
        schema::{Bounds, Field, Kind, Node},
    },
};

use super::{
    stage::{Does, SOON, scene, wanted},
    *,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_provider_is_asked_before_the_first_token() {
    for bad in [Does::HangsUp, Does::IsBusy, Does::CountsTooMany, Does::Babbles] {
        let scene = scene(&[bad, Does::Well]).await;
        assert_eq!(scene.whole().await, Ok(3), "{bad:?}");
        // Five tokens at the second one's price.
        assert_eq!(scene.spent_and_held(), (5 * 2_000, 0), "{bad:?}");
        assert_eq!(scene.counter.measures.retries.value(), 1);
        let failures = scene.counter.measures.failures.value();
        assert_eq!(failures, u64::from(bad != Does::IsBusy), "{bad:?}");
        // Whoever has failed is not asked first again.
        assert_eq!(scene.whole().await, Ok(3));
        assert_eq!(scene.counter.measures.retries.value(), 1, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_first_token_the_error_is_told_and_nothing_is_charged() {
    let all = [Does::DiesInMidStream, Does::Overcharges, Does::SignsAnother, Does::TalksOn];
    for bad in all {
        let scene = scene(&[bad, Does::Well]).await;
        let error = scene.whole().await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (502, Some("provider_failed")), "{bad:?}");
        assert_eq!(scene.spent_and_held(), (0, 0), "{bad:?}");
        assert_eq!(scene.whole().await, Ok(3), "the next question goes to another");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_fail_the_last_reason_is_told() {
    let scene = scene(&[Does::HangsUp, Does::IsBusy]).await;
    let error = scene.begin().await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (503, Some("overloaded")));
    assert_eq!(scene.spent_and_held(), (0, 0));
    assert_eq!(scene.counter.measures.failures.value(), 1, "being busy is no failure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_that_say_no_do_not_keep_the_others_from_being_asked() {
    for bad in [Does::IsBusy, Does::SaysTooLong, Does::SaysInvalid] {
        let scene = scene(&[bad, bad, bad, bad, bad, Does::Well]).await;
        assert_eq!(scene.whole().await, Ok(3), "{bad:?}");
        assert_eq!(scene.first(), 5, "{bad:?}");
        // Those whose no was proved wrong have failed; being busy is no failure.
        let failures = scene.counter.measures.failures.value();
        assert_eq!(failures, if bad == Does::IsBusy { 0 } else { 5 }, "{bad:?}");
    }
    // Only if nobody answers it is the question's fault, and nobody's else.
    let scene = scene(&[Does::SaysTooLong, Does::SaysTooLong]).await;
    let error = scene.begin().await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (400, Some("context_length_exceeded")));
    assert_eq!(
        (error.param.as_deref(), scene.counter.measures.failures.value()),
        (Some("prompt"), 0)
    );
    let scene = stage::scene(&[Does::HangsUp, Does::SaysTooLong]).await;
    assert_eq!(scene.begin().await.unwrap_err().status.as_u16(), 502);
}

/// An object with one field of this kind.
fn held_to(kind: Kind) -> Wanted {
    let field = Field { key: "a".into(), node: 1, required: true };
    let nodes = [Kind::Object(vec![field]), kind].map(|kind| Node { kind, or_null: false });
    let form = Form::Schema(Box::new(Schema::new(nodes.into()).unwrap()));
    Wanted { parameters: Parameters { form, ..wanted().parameters }, ..wanted() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_from_before_integers_had_bounds_is_passed_over_and_not_blamed() {
    let bounds = Bounds { least: Some(0), most: None };
    for (kind, failures) in [(Kind::Bounded(bounds), 0), (Kind::Integer, 1)] {
        let scene = scene(&[Does::SaysInvalid, Does::Well]).await;
        let begun = scene.begin_with(&held_to(kind), SOON).await.unwrap();
        assert_eq!(scene.finish(begun).await, Ok(3));
        let standing = scene.counter.market.standing(scene.providers[0].seller.owner);
        let told = (scene.counter.measures.failures.value(), u64::from(standing.failures));
        assert_eq!(told, (failures, failures));
        // It goes on being asked what it can answer.
        assert_eq!(scene.first(), usize::from(failures > 0));
    }
    // Too little room it can tell without reading the form.
    let scene = scene(&[Does::SaysTooLong, Does::Well]).await;
    scene.begin_with(&held_to(Kind::Bounded(bounds)), SOON).await.unwrap();
    assert_eq!(scene.counter.measures.failures.value(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_length_was_not_said_is_as_long_as_there_is_room() {
    let scene = scene(&[Does::HasRoomForTen]).await;
    let open = Wanted { most_said: None, ..wanted() };
    let begun = scene.begin_with(&open, SOON).await.unwrap();
    assert_eq!(begun.answering.asked().parameters.most, 10);
    assert_eq!(scene.finish(begun).await, Ok(3));
    let error = scene.begin().await.unwrap_err();
    assert_eq!(error.code, Some("context_length_exceeded"), "a length that was said is kept to");
    let long = Parameters { most: 4096, ..Parameters::default() };
    let error = scene.begin_with(&Wanted { parameters: long, ..wanted() }, SOON).await.unwrap_err();
    assert_eq!(error.param.as_deref(), Some("max_tokens"), "beyond what the gateway takes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_that_there_is_less_room_than_its_own_count_leaves_has_failed() {
    let scene = scene(&[Does::LiesOfRoom, Does::Well]).await;
    let open = Wanted { most_said: None, ..wanted() };
    let begun = scene.begin_with(&open, SOON).await.unwrap();
    assert_eq!(begun.answering.asked().parameters.most, 100, "the other answers at full length");
    assert_eq!(scene.finish(begun).await, Ok(3));
    assert_eq!(scene.counter.measures.failures.value(), 1);
    assert_eq!(scene.first(), 1, "and is asked first from now on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_too_small_for_the_fastest_is_spent_on_the_cheapest() {
    let scene = scene(&[Does::Well, Does::Well]).await;
    // The dearer one comes first: the other has just failed.
    let cheap = scene.providers[0].seller.clone();
    let now = scene.counter.market.now_ms();
    scene.counter.market.note(&cheap, |standing| standing.failed(now, 60_000));
    assert_eq!(scene.first(), 1);
    let most = u128::from(wanted().prompt.most_tokens() + 100) * 1_000;
    scene.counter.books.set_budget(&scene.key, Amount(most)).await.unwrap();
    assert_eq!(scene.whole().await, Ok(3));
    assert_eq!(scene.spent_and_held(), (5 * 1_000, 0));
    scene.counter.books.set_budget(&scene.key, Amount(6_000)).await.unwrap();
    assert_eq!(scene.begin().await.unwrap_err().status.as_u16(), 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_answers_have_bounds_in_bytes_and_in_time() {
    let scene = scene(&[Does::SaysLongTokens, Does::Well]).await;
    let parameters = Parameters { alternatives: Some(0), ..wanted().parameters };
    let begun = scene.begin_with(&Wanted { parameters, ..wanted() }, SOON).await.unwrap();
    assert_eq!(scene.finish(begun).await, Ok(3));
    assert_eq!(scene.counter.measures.failures.value(), 1);
    let scene = stage::scene(&[Does::Stalls]).await;
    let mut begun = scene.begin_with(&wanted(), SOON).await.unwrap();
    assert!(matches!(begun.next().await, Ok(Next::Piece(_))));
    begun.tries.until = Instant::now() + Duration::from_millis(50);
    // It is over long before a provider that says nothing is taken to be away.
    let ended = tokio::time::timeout(Duration::from_secs(20), begun.next()).await;
    let error = ApiError::from(ended.expect("longer than the answer may take").unwrap_err());
    assert_eq!((error.status.as_u16(), error.code), (504, Some("provider_failed")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_had_little_of_the_time_is_late_and_not_to_blame() {
    let scene = scene(&[Does::IsSilent]).await;
    // As if others had used up the rest of an hour.
    let mut tries = Tries::new(60 * SOON);
    tries.until = Instant::now() + Duration::from_secs(1);
    let listed = scene.counter.market.resolve("m").unwrap();
    let begun = scene.counter.begin(&scene.key, &wanted(), &listed, 0, &mut tries).await;
    assert_eq!(begun.unwrap_err().status.as_u16(), 504);
    assert_eq!(scene.counter.measures.failures.value(), 0);
    assert_eq!(scene.spent_and_held(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_wait_for_a_slow_reader_is_not_to_blame() {
    let scene = scene(&[Does::DiesInMidStream, Does::Well]).await;
    let mut begun = scene.begin().await.unwrap();
    assert!(matches!(begun.next().await, Ok(Next::Piece(_))));
    // As if its reader had taken so long for the first token.
    begun.heard_at = Instant::now().checked_sub(Duration::from_secs(30)).unwrap();
    let error = ApiError::from(begun.next().await.unwrap_err());
    assert_eq!((error.status.as_u16(), error.code), (408, Some("reader_too_slow")));
    drop(begun);
    let standing = scene.counter.market.standing(scene.providers[0].seller.owner);
    assert_eq!((scene.counter.measures.failures.value(), standing.failures), (0, 0));
    assert_eq!(scene.spent_and_held(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hangs_up_in_the_middle_is_charged_nothing() {
    let scene = scene(&[Does::Well]).await;
    let begun = scene.begin().await.unwrap();
    assert!(scene.spent_and_held().1 > 0);
    assert_eq!(scene.counter.measures.under_way.value(), 1);
    drop(begun);
    assert_eq!((scene.spent_and_held(), scene.counter.measures.under_way.value()), ((0, 0), 0));
}
