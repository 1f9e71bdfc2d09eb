//! From a plan that fails to a small one that fails in the same way: delta debugging on the plan.
//!
//! It removes faults, then whole clients, then operations, then makes times shorter, and begins again until nothing
//! more can go. A smaller plan counts only when the same invariant is violated, or when it panics with the same words;
//! another failure is another bug. The network's delays follow from the plan's seed, so a smaller plan may need a few
//! tries more than a pure function would.

mod plan;

use std::fmt;

use crate::check::Invariant;
use crate::world::Outcome;

/// How a run failed; a smaller plan must fail in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symptom {
    /// It violates this invariant first.
    Violates(Invariant),
    /// It panics with these words, in which every number is a `#`: numbers differ in a smaller plan.
    Panics(String),
}

impl Symptom {
    /// How a run failed; nothing when it passed.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match &outcome.panic {
            Some(panic) => Some(Self::Panics(without_numbers(panic.lines().next().unwrap_or_default()))),
            None => outcome.violation().map(|violation| Self::Violates(violation.invariant)),
        }
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violates(invariant) => write!(f, "violates {invariant}"),
            Self::Panics(text) => write!(f, "panics: {text}"),
        }
    }
}

fn without_numbers(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_ascii_digit() {
            true if words.ends_with('#') => {}
            true => words.push('#'),
            false => words.push(letter),
        }
    }
    words
}

/// Something that can be made smaller.
pub trait Shrinkable: Clone + PartialEq {
    /// How many parts of a kind it has.
    fn parts(&self, kind: Part) -> usize;
    /// Itself without some parts of a kind, given by number.
    #[must_use]
    fn without(&self, kind: Part, from: usize, count: usize) -> Self;
    /// The same with other times or a quieter world; each is tried once in a round.
    #[must_use]
    fn simpler(&self) -> Vec<Self>;
}

/// Kinds of parts, in the order in which they are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What goes wrong.
    Faults,
    /// Who asks.
    Clients,
    /// What clients do.
    Steps,
    /// Operations within a batch.
    Members,
}

impl Part {
    const ALL: [Self; 4] = [Self::Faults, Self::Clients, Self::Steps, Self::Members];
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk<P> {
    /// The smallest plan that was seen to fail in the same way.
    pub plan: P,
    /// Runs that it took.
    pub runs: usize,
    /// Whether nothing more could go; otherwise the runs were used up.
    pub minimal: bool,
}

/// Shrinks a plan that fails in the way of `target`. `run` says in which way a plan fails, if it does.
pub fn shrink<P: Shrinkable, T: PartialEq>(
    plan: P,
    target: T,
    runs_max: usize,
    run: impl FnMut(&P) -> Option<T>,
) -> Shrunk<P> {
    let mut shrinker = Shrinker { plan, target, runs: 0, runs_max, run };
    let mut minimal = false;
    while !minimal && !shrinker.is_spent() {
        let mut progress = false;
        for kind in Part::ALL {
            progress |= shrinker.remove(kind);
        }
        progress |= shrinker.simplify();
        minimal = !progress;
    }
    Shrunk { minimal: minimal && shrinker.runs < runs_max, plan: shrinker.plan, runs: shrinker.runs }
}

struct Shrinker<P, T, F> {
    plan: P,
    target: T,
    runs: usize,
    runs_max: usize,
    run: F,
}

impl<P: Shrinkable, T: PartialEq, F: FnMut(&P) -> Option<T>> Shrinker<P, T, F> {
    fn is_spent(&self) -> bool {
        self.runs >= self.runs_max
    }

    /// Takes the smaller plan when it fails in the same way.
    fn accept(&mut self, smaller: P) -> bool {
        if self.is_spent() || smaller == self.plan {
            return false;
        }
        self.runs += 1;
        let same = (self.run)(&smaller).as_ref() == Some(&self.target);
        if same {
            self.plan = smaller;
        }
        same
    }

    /// Removes parts of a kind, in halves, then quarters, down to single ones.
    fn remove(&mut self, kind: Part) -> bool {
        let mut progress = false;
        let mut size = self.plan.parts(kind);
        while size > 0 && !self.is_spent() {
            let mut from = 0;
            while from < self.plan.parts(kind) && !self.is_spent() {
                let count = size.min(self.plan.parts(kind) - from);
                let smaller = self.plan.without(kind, from, count);
                if self.accept(smaller) {
                    progress = true;
                } else {
                    from += count;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2).min(self.plan.parts(kind).max(1)) };
        }
        progress
    }

    /// Tries each simpler form once; those that come after one that is taken are made from it in the next round.
    fn simplify(&mut self) -> bool {
        let mut progress = false;
        let mut at = 0;
        while let Some(simpler) = self.plan.simpler().into_iter().nth(at) {
            if self.is_spent() {
                return progress;
            }
            if self.accept(simpler) {
                progress = true;
            } else {
                at += 1;
            }
        }
        progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plan of numbers: it fails when 3 and 7 are both there, and otherwise when 9 is.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Numbers(Vec<u32>, u32);

    impl Shrinkable for Numbers {
        fn parts(&self, kind: Part) -> usize {
            match kind {
                Part::Faults => self.0.len(),
                Part::Clients | Part::Steps | Part::Members => 0,
            }
        }

        fn without(&self, _: Part, from: usize, count: usize) -> Self {
            let mut rest = self.0.clone();
            rest.drain(from..from + count);
            Self(rest, self.1)
        }

        fn simpler(&self) -> Vec<Self> {
            if self.1 > 0 { vec![Self(self.0.clone(), self.1 / 2)] } else { Vec::new() }
        }
    }

    fn fails(plan: &Numbers) -> Option<Invariant> {
        let has = |number| plan.0.contains(&number);
        if has(3) && has(7) { Some(Invariant(9)) } else { has(9).then_some(Invariant(4)) }
    }

    #[test]
    fn what_does_not_matter_goes_and_what_matters_stays() {
        let shrunk = shrink(Numbers((0..200).collect(), 1_000), Invariant(9), 1_000, fails);
        assert_eq!(shrunk.plan, Numbers(vec![3, 7], 0));
        assert!(shrunk.minimal);
        assert!(shrunk.runs < 150, "{}", shrunk.runs);
    }

    #[test]
    fn another_invariant_is_not_accepted() {
        let shrunk = shrink(Numbers(vec![9, 3, 7], 0), Invariant(9), 1_000, fails);
        assert_eq!(shrunk.plan.0, [3, 7]);
    }

    #[test]
    fn a_panic_is_the_same_when_only_its_numbers_differ() {
        let panics = |text: &str| {
            let outcome = Outcome { panic: Some(text.to_owned()), ..Outcome::default() };
            Symptom::of(&outcome).unwrap()
        };
        assert_eq!(panics("version 12 after 9\nnote"), panics("version 7 after 1"));
        assert_ne!(panics("version 12 after 9"), panics("position 12 after 9"));
        assert_eq!(Symptom::of(&Outcome::default()), None);
    }

    #[test]
    fn the_runs_are_bounded() {
        let shrunk = shrink(Numbers((0..200).collect(), 0), Invariant(9), 5, fails);
        assert_eq!((shrunk.runs, shrunk.minimal), (5, false));
        assert!(shrunk.plan.0.contains(&3) && shrunk.plan.0.contains(&7));
    }
}
