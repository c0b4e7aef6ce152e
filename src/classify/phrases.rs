//! Phrases: an automaton whose letters are words.
//!
//! A phrase is a path of words through a tree, so that it stands for whole words without a look beside it. Few words of a text lead away from
//! the root, and the whole tree is small: an automaton over octets takes ten times the memory, and waits for it at every letter. Linear: no
//! path is longer than the longest phrase.

use std::collections::BTreeMap;

use super::words::{Token, Vocabulary};

/// All phrases of many rules, as they are gathered.
#[derive(Default)]
pub struct Gathered {
    root: Branch,
}

/// What may follow.
#[derive(Default)]
struct Branch {
    next: BTreeMap<u32, Branch>,
    ends: Vec<End>,
    /// Last words that may go on.
    open: Vec<(String, bool, End)>,
}

/// All phrases of many rules.
#[derive(Default)]
pub struct Phrases {
    nodes: Vec<Node>,
    /// Of one node after the other: the step, and where it leads.
    steps: Vec<(u32, u32)>,
    ends: Vec<End>,
    open: Vec<(String, bool, End)>,
}

/// Where phrases begin.
#[derive(Default)]
pub struct Roots {
    /// Words, by their numbers, each with the node to which it leads.
    pub words: Vec<(usize, u32)>,
    /// Phrases of one word that may go on.
    pub open: Vec<(String, End)>,
}

/// Where what is a node's begins; it ends where the next node's begins.
#[derive(Clone, Copy, Default)]
struct Node {
    steps: u32,
    ends: u32,
    open: u32,
}

/// The end of a phrase.
#[derive(Clone, Copy)]
pub struct End {
    pub rule: usize,
    /// Only at the start of the text.
    at_start: bool,
    /// Only at its end.
    at_end: bool,
}

impl End {
    /// Whether a phrase may stand there.
    pub fn fits(&self, at: usize, stop: usize, text: &str) -> bool {
        !(self.at_start && at != 0 || self.at_end && stop != text.len())
    }
}

impl Gathered {
    /// Adds a phrase: `^` before it ties it to the start of the text, `$` after it to the end; after `*` its last word may go on.
    pub fn add(&mut self, words: &mut Vocabulary, rule: usize, phrase: &str) {
        let (at_start, phrase) = phrase.strip_prefix('^').map_or((false, phrase), |rest| (true, rest));
        let (at_end, phrase) = phrase.strip_suffix('$').map_or((false, phrase), |rest| (true, rest));
        let (goes_on, phrase) = phrase.strip_suffix('*').map_or((false, phrase), |rest| (true, rest));
        let row = words.learn(phrase);
        let end = End { rule, at_start, at_end };
        let mut branch = &mut self.root;
        for (index, token) in row.iter().enumerate() {
            if goes_on && index + 1 == row.len() {
                let last = phrase.get(token.at as usize..).unwrap_or_default();
                return branch.open.push((last.to_owned(), token.spaced(), end));
            }
            // Before the first word stands whatever stands there.
            let step = if index == 0 { token.step() & !1 } else { token.step() };
            branch = branch.next.entry(step).or_default();
        }
        branch.ends.push(end);
    }

    pub fn compile(self) -> (Roots, Phrases) {
        let (mut roots, mut phrases) = (Roots::default(), Phrases::default());
        roots.open.extend(self.root.open.into_iter().map(|(begins, _, end)| (begins, end)));
        // The root is no node: 0 leads nowhere.
        phrases.nodes.push(Node::default());
        let mut queue: Vec<Branch> = Vec::new();
        for (step, branch) in self.root.next {
            queue.push(branch);
            roots.words.extend((step >> 1).checked_sub(1).map(|word| (word as usize, count(queue.len()))));
        }
        let mut at = 0;
        while let Some(branch) = queue.get_mut(at).map(std::mem::take) {
            phrases.node();
            for (step, next) in branch.next {
                queue.push(next);
                phrases.steps.push((step, count(queue.len())));
            }
            phrases.ends.extend(branch.ends);
            phrases.open.extend(branch.open);
            at += 1;
        }
        phrases.node();
        (roots, phrases)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Phrases {
    /// Begins a node.
    fn node(&mut self) {
        self.nodes.push(Node { steps: count(self.steps.len()), ends: count(self.ends.len()), open: count(self.open.len()) });
    }

    /// The signs of all steps from a node; all bits where something ends there already. Few words that begin phrases are followed by their second.
    pub fn after(&self, node: u32) -> u64 {
        let Some([this, next]) = self.nodes.get(node as usize..node as usize + 2) else { return 0 };
        if this.ends < next.ends || this.open < next.open {
            return u64::MAX;
        }
        let steps = self.steps.get(this.steps as usize..next.steps as usize).unwrap_or_default();
        steps.iter().fold(0, |signs, (step, _)| signs | Self::sign(*step))
    }

    /// One bit of 64 for a step.
    pub fn sign(step: u32) -> u64 {
        1 << (step.wrapping_mul(0x9e37_79b1) >> 26)
    }

    /// The phrases that begin with the first of the tokens, which leads to `node`: each end, and where it is.
    pub fn from(&self, mut node: u32, row: &[Token], text: &str, mut found: impl FnMut(End, usize)) {
        for pair in 0..row.len() {
            let (Some(token), Some([this, after])) = (row.get(pair), self.nodes.get(node as usize..node as usize + 2)) else { return };
            let of = |from: u32, to: u32| from as usize..to as usize;
            self.ends.get(of(this.ends, after.ends)).into_iter().flatten().for_each(|end| found(*end, token.end as usize));
            let Some(next) = row.get(pair + 1) else { return };
            for (begins, spaced, end) in self.open.get(of(this.open, after.open)).into_iter().flatten() {
                let (at, stop) = (next.at as usize, next.at as usize + begins.len());
                if *spaced == next.spaced() && text.get(at..stop) == Some(begins.as_str()) {
                    found(*end, stop);
                }
            }
            let steps = self.steps.get(of(this.steps, after.steps)).unwrap_or_default();
            let Ok(place) = steps.binary_search_by_key(&next.step(), |(step, _)| *step) else { return };
            node = steps.get(place).map_or(0, |(_, node)| *node);
        }
    }
}
