//! An answer of which the beginning was heard before anybody was told of it.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{Begun, Next, Stopped};

/// An answer that has begun, and what came of it while others had not: providers do not wait long for a listener.
#[derive(Debug)]
pub(crate) struct Ahead {
    begun: Begun,
    heard: VecDeque<Result<Next, Stopped>>,
}

impl Ahead {
    /// Listens as long as there are others that have not begun, and then until the next word at most.
    pub(crate) async fn of(mut begun: Begun, others: &AtomicU32) -> Self {
        let mut heard = VecDeque::new();
        while others.load(Ordering::Relaxed) > 0 {
            let next = begun.next().await;
            let is_last = !matches!(next, Ok(Next::Piece(_) | Next::Embedding(_)));
            heard.push_back(next);
            if is_last {
                break;
            }
        }
        Self { begun, heard }
    }

    /// As [`Begun::next`].
    pub(crate) async fn next(&mut self) -> Result<Next, Stopped> {
        match self.heard.pop_front() {
            Some(heard) => heard,
            None => self.begun.next().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::stage::{self, Does};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_comes_while_others_begin_is_heard_and_told_in_its_order() {
        let others = AtomicU32::new(1);
        let scene = stage::scene(&[Does::Well]).await;
        let mut all = Ahead::of(scene.begin().await.unwrap(), &others).await;
        assert_eq!(all.heard.len(), 4, "three tokens and the end");
        for token in 0..3 {
            let Ok(Next::Piece(piece)) = all.next().await else { panic!("no token {token}") };
            assert_eq!(piece.said[0].token, token);
        }
        assert!(matches!(all.next().await, Ok(Next::Ended(_))));
        let none = Ahead::of(scene.begin().await.unwrap(), &AtomicU32::new(0)).await;
        assert!(none.heard.is_empty(), "nobody is waited for");
        // An answer that breaks off meanwhile is told of as if it had done so later.
        let scene = stage::scene(&[Does::DiesInMidStream]).await;
        let mut broken = Ahead::of(scene.begin().await.unwrap(), &others).await;
        assert!(matches!(broken.next().await, Ok(Next::Piece(_))));
        assert!(matches!(broken.next().await, Err(Stopped::Failed(_))));
    }
}
