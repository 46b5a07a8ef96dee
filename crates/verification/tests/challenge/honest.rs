use proptest::prelude::*;
use tilth_protocol::challenge::{MemoryTask, ProductTask, Task, Transcript, prove::Reference};
use tilth_verification::challenge::check;

use crate::world::{MEMORY, PRODUCTS, converse};

fn tasks() -> impl Strategy<Value = Task> {
    let products = (6..=8_u32, 1..4_u32, 1..40_u32).prop_map(|(power, rounds, samples)| {
        Task::Products(ProductTask { order: 1 << power, rounds, samples })
    });
    let sizes = (6..=8_u32, 2..20_u32, 1..50_u32, 1..5_u32, 1..20_u32);
    let memory = sizes.prop_map(|(power, depth, walks, steps, samples)| {
        let walk_samples = walks.min(3);
        Task::Memory(MemoryTask { lanes: 1 << power, depth, walks, steps, samples, walk_samples })
    });
    prop_oneof![products, memory]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_honest_answer_passes_and_its_file_says_the_same(task in tasks(), number: u64) {
        let transcript = converse(Reference::default(), task, number);
        check(&transcript).unwrap();
        let bytes = transcript.to_bytes();
        let limit = usize::try_from(task.opening_bytes()).unwrap() + 2_000 + 32 * 1024;
        prop_assert!(bytes.len() <= limit, "{} of {limit}", bytes.len());
        prop_assert_eq!(Transcript::from_bytes(&bytes).unwrap(), transcript);
    }

    /// Whatever is changed, be it one bit, the answer no longer fits the question; and nobody is blamed for what
    /// he did not sign.
    #[test]
    fn no_bit_of_an_answer_can_be_changed(memory: bool, at: prop::sample::Index, bit in 0..8_u32) {
        let task = if memory { Task::Memory(MEMORY) } else { Task::Products(PRODUCTS) };
        let transcript = converse(Reference::default(), task, 7);
        let mut bytes = transcript.to_bytes();
        // The times at the end are not part of the answer.
        let at = at.index(bytes.len() - 32);
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = Transcript::from_bytes(&bytes) {
            let fault = check(&changed).expect_err("it is another one");
            prop_assert!(!fault.is_providers(), "{fault}");
        }
    }

    #[test]
    fn bytes_from_anywhere_are_refused_or_checked(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
        if let Ok(transcript) = Transcript::from_bytes(&bytes) {
            prop_assert!(check(&transcript).is_err());
        }
    }
}
