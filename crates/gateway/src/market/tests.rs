use tilth_protocol::{Contact, infer::Prices};

use super::*;

const TEXT: Makes = Makes::Text;
const SMALL: Makes = Makes::Embeddings { dimensions: 384 };
const WIDE: Makes = Makes::Embeddings { dimensions: 768 };
const MODEL: ContentHash = ContentHash([1; 32]);
const OTHER: ContentHash = ContentHash([2; 32]);

fn seller(number: u8, offers: &[(&str, ContentHash, Makes)]) -> Seller {
    let offer = |(name, model, makes): &(&str, ContentHash, Makes)| ModelOffer {
        model: *model,
        name: (*name).to_owned(),
        makes: *makes,
        context: 100,
        prices: Prices::default(),
    };
    Seller {
        owner: Address::repeat_byte(number),
        node: Address::repeat_byte(number),
        contact: Contact { endpoint: [number; 32], addresses: vec![] },
        offers: offers.iter().map(offer).collect(),
        busy: 0,
        round_trip: Duration::ZERO,
    }
}

fn state(sellers: Vec<Seller>) -> State {
    let mut state = State::default();
    state.set(sellers);
    state
}

fn said(all: &[(Makes, u64, u64)]) -> Vec<Said> {
    let one = |(makes, first_seen, answers): &(Makes, u64, u64)| Said {
        makes: *makes,
        first_seen: *first_seen,
        answers: *answers,
    };
    all.iter().map(one).collect()
}

#[test]
fn what_most_say_counts_and_no_order_of_asking_does() {
    let any = |all: &[(Makes, u64, u64)]| most_said(&said(all), |_| true);
    assert_eq!(any(&[(WIDE, 7, 0), (SMALL, 1, 90), (WIDE, 8, 0)]), Some(WIDE));
    assert_eq!(any(&[(WIDE, 1, 0), (SMALL, 1, 0)]), Some(SMALL));
    assert_eq!(any(&[(SMALL, 1, 0), (TEXT, 1, 0)]), Some(TEXT));
    assert_eq!(any(&[]), None);
}

#[test]
fn among_equally_many_the_question_decides_then_who_was_here_first_then_the_record() {
    let all = [(SMALL, 2, 9), (WIDE, 1, 0), (TEXT, 1, 5)];
    assert_eq!(most_said(&said(&all), |makes| makes != TEXT), Some(WIDE));
    assert_eq!(most_said(&said(&all), |makes| makes == SMALL), Some(SMALL));
    assert_eq!(most_said(&said(&all), |_| true), Some(TEXT));
    assert_eq!(most_said(&said(&[all[0], (WIDE, 2, 10)]), |_| true), Some(WIDE));
    // And only among these.
    let more = [all[0], all[1], (TEXT, 9, 0), (TEXT, 9, 0)];
    assert_eq!(most_said(&said(&more), |makes| makes == SMALL), Some(TEXT));
}

#[test]
fn who_comes_later_and_says_something_else_changes_nothing() {
    let honest = || seller(9, &[("e5", MODEL, WIDE)]);
    let liar = || seller(1, &[("e5", MODEL, SMALL)]);
    let mut state = state(vec![honest()]);
    let makes = |state: &State| most_said(&state.said(None)[&MODEL], |_| true);
    state.set(vec![liar(), honest()]);
    assert_eq!(makes(&state), Some(WIDE));
    // Not even if the first is away for a moment.
    state.set(vec![liar()]);
    state.set(vec![liar(), honest()]);
    assert_eq!(makes(&state), Some(WIDE));
}

#[test]
fn a_seller_counts_once_however_often_it_offers_a_model() {
    let honest = [("smol", MODEL, TEXT)];
    let crowd = [[("smol", OTHER, TEXT); 9], [("other", MODEL, SMALL); 9]].concat();
    let state = state(vec![seller(1, &honest), seller(2, &honest), seller(3, &crowd)]);
    assert_eq!(state.offered()["smol"], BTreeMap::from([(MODEL, 2), (OTHER, 1)]));
    let named = state.names.resolve("smol", &state.offered()).unwrap();
    assert_eq!(named.model, MODEL);
    assert_eq!(most_said(&state.said(None)[&MODEL], |_| true), Some(TEXT));
    assert_eq!(state.said(Some(OTHER)).len(), 1);
}
