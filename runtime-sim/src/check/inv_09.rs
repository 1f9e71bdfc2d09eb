//! INV-09: the history that clients saw is linearizable, unknown outcomes included. The search is in [`super::linear`]; the
//! log only tells it where to look first.

use super::linear::{self, Judgement};
use super::{Books, Checker, End, Report};

#[derive(Debug)]
pub(crate) struct Linearizable;

impl Checker for Linearizable {
    fn at_end(&mut self, books: &Books, end: End<'_>, report: &mut Report) {
        for judgement in linear::judge(end.history, books) {
            match judgement {
                Judgement::Linearizable => {}
                Judgement::GaveUp(text) => report.inconclusive.push(text),
                Judgement::Not { wallet, text } => report.add(9, wallet.as_ref(), || text),
            }
        }
    }
}
