//! The regular expressions of filters: as much of the language as filters use, with a bound on the work.
//!
//! Literals, `.`, classes, `\d \w \s`, anchors, groups, alternatives, look-ahead, and repetitions. By backtracking, so
//! every match has a number of steps that it may take; one that needs more does not pass. What is not understood is
//! refused when the filter comes in, and never ignored.

use std::ops::RangeInclusive;

/// Longest expression, in characters.
const PATTERN_CHARS_MAX: usize = 1_024;
/// Deepest nesting of groups.
const DEPTH_MAX: usize = 16;
/// Most repetitions of a counted one.
const COUNT_MAX: usize = 1_000;
/// Most steps of one match.
const STEPS_MAX: usize = 100_000;

/// Most rounds of a repeated group: each takes some of the stack.
const ROUNDS_MAX: usize = 256;

/// A regular expression that is looked for anywhere in a text.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Alternatives);

type Alternatives = Vec<Vec<Node>>;

#[derive(Clone, Debug)]
enum Node {
    Set { ranges: Vec<(char, char)>, is_negated: bool },
    Start,
    End,
    Group(Alternatives),
    Ahead { inner: Alternatives, is_negated: bool },
    Repeat { inner: Box<Node>, least: usize, most: usize, is_lazy: bool },
}

impl Pattern {
    /// Reads an expression, or says what it is that is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let chars: Vec<char> = text.chars().collect();
        if chars.len() > PATTERN_CHARS_MAX {
            return Err(format!("an expression of more than {PATTERN_CHARS_MAX} characters"));
        }
        let mut parser = Parser { chars, at: 0 };
        let all = parser.alternatives(0)?;
        match parser.peek() {
            None => Ok(Self(all)),
            Some(_) => Err("a closing parenthesis too many".to_owned()),
        }
    }

    /// Whether it occurs in a text.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut search = Search { text: &text, steps: 0 };
        (0..=text.len()).any(|start| search.alternatives(&self.0, start, &mut |_, _| true))
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Result<char, String> {
        let next = self.peek().ok_or("the expression ends too early")?;
        self.at += 1;
        Ok(next)
    }

    fn accept(&mut self, text: &str) -> bool {
        let wanted: Vec<char> = text.chars().collect();
        let found = self.chars[self.at..].starts_with(&wanted);
        if found {
            self.at += wanted.len();
        }
        found
    }

    fn alternatives(&mut self, depth: usize) -> Result<Alternatives, String> {
        if depth > DEPTH_MAX {
            return Err(format!("groups nested more than {DEPTH_MAX} deep"));
        }
        let mut all = vec![Vec::new()];
        while let Some(next) = self.peek() {
            if next == ')' {
                break;
            }
            if self.accept("|") {
                all.push(Vec::new());
                continue;
            }
            let atom = self.atom(depth)?;
            let node = self.repeated(atom)?;
            if let Some(last) = all.last_mut() {
                last.push(node);
            }
        }
        Ok(all)
    }

    fn atom(&mut self, depth: usize) -> Result<Node, String> {
        let any_but_newline = Node::Set { ranges: vec![('\n', '\n')], is_negated: true };
        match self.next()? {
            '^' => Ok(Node::Start),
            '$' => Ok(Node::End),
            '.' => Ok(any_but_newline),
            '(' => self.group(depth),
            '[' => self.class(),
            '\\' => match self.next()? {
                'A' => Ok(Node::Start),
                'z' | 'Z' => Ok(Node::End),
                other => {
                    let (ranges, is_negated) = escaped(other)?;
                    Ok(Node::Set { ranges, is_negated })
                }
            },
            other @ ('*' | '+' | '?') => Err(format!("{other} without anything before it")),
            literal => Ok(Node::Set { ranges: vec![(literal, literal)], is_negated: false }),
        }
    }

    fn group(&mut self, depth: usize) -> Result<Node, String> {
        let ahead = match () {
            () if self.accept("?:") => None,
            () if self.accept("?=") => Some(false),
            () if self.accept("?!") => Some(true),
            () if self.accept("?") => return Err("a group of an unknown kind".to_owned()),
            () => None,
        };
        let inner = self.alternatives(depth + 1)?;
        if !self.accept(")") {
            return Err("a parenthesis is not closed".to_owned());
        }
        Ok(ahead
            .map_or_else(|| Node::Group(inner.clone()), |is_negated| Node::Ahead { inner: inner.clone(), is_negated }))
    }

    fn class(&mut self) -> Result<Node, String> {
        let is_negated = self.accept("^");
        let mut ranges = Vec::new();
        loop {
            let first = match self.next()? {
                ']' if !ranges.is_empty() => return Ok(Node::Set { ranges, is_negated }),
                '\\' => {
                    let (more, is_complement) = escaped(self.next()?)?;
                    if is_complement {
                        return Err("a complement inside a class".to_owned());
                    }
                    match more.as_slice() {
                        [(one, other)] if one == other => *one,
                        _ => {
                            ranges.extend(more);
                            continue;
                        }
                    }
                }
                literal => literal,
            };
            let is_range = self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|next| *next != ']');
            let last = match is_range {
                true => {
                    self.at += 1;
                    match self.next()? {
                        '\\' => self.next()?,
                        last => last,
                    }
                }
                false => first,
            };
            ranges.push((first, last));
        }
    }

    fn repeated(&mut self, atom: Node) -> Result<Node, String> {
        let (least, most) = match self.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                self.at += 1;
                let least = self.number()?;
                let most = match self.accept(",") {
                    true if self.peek() == Some('}') => usize::MAX,
                    true => self.number()?,
                    false => least,
                };
                if self.peek() != Some('}') {
                    return Err("a count is not closed".to_owned());
                }
                (least, most)
            }
            Some(_) | None => return Ok(atom),
        };
        self.at += 1;
        let is_lazy = self.accept("?");
        Ok(Node::Repeat { inner: Box::new(atom), least, most, is_lazy })
    }

    fn number(&mut self) -> Result<usize, String> {
        let start = self.at;
        while self.peek().is_some_and(|next| next.is_ascii_digit()) {
            self.at += 1;
        }
        let digits: String = self.chars[start..self.at].iter().collect();
        let number = digits.parse().ok().filter(|number| *number <= COUNT_MAX);
        number.ok_or_else(|| format!("a count that is no number up to {COUNT_MAX}"))
    }
}

fn escaped(letter: char) -> Result<(Vec<(char, char)>, bool), String> {
    let digits = vec![('0', '9')];
    let words = vec![('a', 'z'), ('A', 'Z'), ('0', '9'), ('_', '_')];
    let spaces = vec![(' ', ' '), ('\t', '\r')];
    Ok(match letter {
        'd' => (digits, false),
        'D' => (digits, true),
        'w' => (words, false),
        'W' => (words, true),
        's' => (spaces, false),
        'S' => (spaces, true),
        'n' => (vec![('\n', '\n')], false),
        't' => (vec![('\t', '\t')], false),
        'r' => (vec![('\r', '\r')], false),
        other if other.is_ascii_alphanumeric() => return Err(format!("the escape \\{other}")),
        literal => (vec![(literal, literal)], false),
    })
}

struct Search<'t> {
    text: &'t [char],
    steps: usize,
}

type Then<'c> = &'c mut dyn FnMut(&mut Search<'_>, usize) -> bool;

impl Search<'_> {
    fn alternatives(&mut self, all: &Alternatives, at: usize, then: Then<'_>) -> bool {
        all.iter().any(|sequence| self.sequence(sequence, at, then))
    }

    fn sequence(&mut self, nodes: &[Node], at: usize, then: Then<'_>) -> bool {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return false;
        }
        let Some((node, rest)) = nodes.split_first() else { return then(self, at) };
        match node {
            Node::Start => at == 0 && self.sequence(rest, at, then),
            Node::End => at == self.text.len() && self.sequence(rest, at, then),
            Node::Set { ranges, is_negated } => {
                let inside = |one: char| ranges.iter().any(|(first, last)| (*first..=*last).contains(&one));
                let found = self.text.get(at).is_some_and(|one| inside(*one) != *is_negated);
                found && self.sequence(rest, at + 1, then)
            }
            Node::Group(inner) => self.alternatives(inner, at, &mut |search, at| search.sequence(rest, at, then)),
            Node::Ahead { inner, is_negated } => {
                let found = self.alternatives(inner, at, &mut |_, _| true);
                found != *is_negated && self.sequence(rest, at, then)
            }
            Node::Repeat { inner, least, most, is_lazy } => {
                if let Node::Set { ranges, is_negated } = &**inner {
                    let run = self.run(ranges, *is_negated, at, *most);
                    return (run >= *least) && self.any_end(at + least..=at + run, *is_lazy, rest, then);
                }
                let again = Again { inner, least: *least, most: *most, is_lazy: *is_lazy };
                self.repeat(&again, 0, at, &mut |search, at| search.sequence(rest, at, then))
            }
        }
    }

    /// How many characters of a set come here one after another.
    fn run(&self, ranges: &[(char, char)], is_negated: bool, at: usize, most: usize) -> usize {
        let inside = |one: char| ranges.iter().any(|(first, last)| (*first..=*last).contains(&one));
        self.text[at..].iter().take(most).take_while(|one| inside(**one) != is_negated).count()
    }

    /// Goes on from one of these places, the last or the first one first.
    fn any_end(&mut self, ends: RangeInclusive<usize>, is_lazy: bool, rest: &[Node], then: Then<'_>) -> bool {
        match is_lazy {
            true => ends.into_iter().any(|end| self.sequence(rest, end, then)),
            false => ends.into_iter().rev().any(|end| self.sequence(rest, end, then)),
        }
    }

    fn repeat(&mut self, again: &Again<'_>, done: usize, at: usize, then: Then<'_>) -> bool {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return false;
        }
        let enough = done >= again.least;
        if enough && again.is_lazy && then(self, at) {
            return true;
        }
        let more = done < again.most.min(ROUNDS_MAX)
            && self.sequence(std::slice::from_ref(again.inner), at, &mut |search, next| {
                // A round that takes nothing would go on for ever.
                (next > at || !enough) && search.repeat(again, done + 1, next, then)
            });
        more || (enough && !again.is_lazy && then(self, at))
    }
}

struct Again<'n> {
    inner: &'n Node,
    least: usize,
    most: usize,
    is_lazy: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_find_what_they_say() {
        let cases = [
            ("^wallet-", "wallet-1", true),
            ("^wallet-", "a wallet-1", false),
            ("^[^\\$].*", "wallet-1", true),
            ("^[^\\$].*", "$stats", false),
            ("^(?!(?:\\$.+|PersistentConfig\\d+)$).*$", "order", true),
            ("^(?!(?:\\$.+|PersistentConfig\\d+)$).*$", "$metadata", false),
            ("^(?!(\\$.+|PersistentConfig\\d+)$).*$", "PersistentConfig1", false),
            ("^(?!(\\$.+|PersistentConfig\\d+)$).*$", "PersistentConfigs", true),
            ("^(a|b)+?c{2,3}$", "abacc", true),
            ("^(a|b)+?c{2,3}$", "abac", false),
            ("x|y", "why", true),
            ("[a-c-]+d?$", "a-", true),
            ("^\\w+\\.\\s$", "ab_1. ", true),
            ("", "anything", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Pattern::parse(pattern).unwrap().is_in(text), expected, "{pattern} in {text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in ["(", ")", "a)", "[a", "*a", "(?<=a)b", "\\1", "a{2", "a{9999}", "(?P<n>a)", &"(".repeat(40)] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_hostile_expression_costs_a_bounded_number_of_steps() {
        let pattern = Pattern::parse("^(a+)+$").unwrap();
        assert!(!pattern.is_in(&format!("{}b", "a".repeat(5_000))));
    }
}
