//! The price of a template: what else it admits.
//!
//! Whoever writes a wildcard allows things that nobody has done. How many, nobody can say, but how many of those that are
//! known can be counted: among all paths that were recorded of all images. What files an image has beside those is not
//! known here, so that a price is the least that a template admits, and never the most.
//!
//! ```
//! use baselines::path::FilePath;
//! use baselines::templates::{Corpus, Operator};
//!
//! let paths = |texts: &[&str]| -> Vec<FilePath> {
//!     texts.iter().map(|text| FilePath::canonical(text.as_bytes())).collect()
//! };
//! let own = paths(&["/var/log/app-1.log", "/var/log/app-2.log"]);
//! let others = paths(&["/var/log/app-7.log", "/var/log/app-secrets/token"]);
//! let corpus = Corpus::new(&own, &others);
//! let price = &corpus.prices(&["/var/log/app-{number}.log".parse()?])[0];
//! assert_eq!(price.template.admitted, 1);
//! assert_eq!(price.compiled.operator, Operator::Prefix("/var/log/app-".to_owned()));
//! assert_eq!((price.policy.admitted, price.policy.sensitive[0].to_text()), (2, "/var/log/app-secrets/token".to_owned()));
//! # Ok::<(), baselines::templates::TemplateError>(())
//! ```

use std::cmp::Reverse;

use super::mine::{Found, Mined};
use super::operators::{Compiled, Operator};
use super::sensitive::sensitive;
use super::set::TemplateSet;
use super::template::{Template, components};
use crate::path::FilePath;

/// The most sensitive paths that are listed for one template. All are counted.
pub const SENSITIVE_MAX: usize = 20;

/// The paths that are known, each once: those of one image, and all others.
#[derive(Clone, Debug)]
pub struct Corpus<'a> {
    forward: Sorted<'a>,
    /// The same, by their ends.
    backward: Sorted<'a>,
}

/// What something admits of a corpus, beyond the image's own paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// How many paths.
    pub admitted: u64,
    /// How many of them are sensitive.
    pub sensitive_count: u64,
    /// The first [`SENSITIVE_MAX`] of those, sorted.
    pub sensitive: Vec<&'a FilePath>,
}

/// What a template costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price<'a> {
    /// How many of the image's own paths it matches.
    pub covered: u64,
    /// What it would admit if policies had wildcards.
    pub template: Admitted<'a>,
    /// What a policy can compare instead: of all that the template can become, what admits the fewest sensitive paths, of
    /// those what admits the fewest paths; if that does not tell, [`Template::operators`] does.
    pub compiled: Compiled,
    /// What that admits.
    pub policy: Admitted<'a>,
}

/// The most that a template may cost in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPrice {
    /// Known paths that its policy admits and the image has not used.
    pub admitted: u64,
    /// Sensitive ones of them.
    pub sensitive: u64,
}

/// Templates that cost what they may, and the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priced<'a> {
    /// Those that are worth it, with what they cost.
    pub made: Vec<(Found<'a>, Price<'a>)>,
    /// Those that are too dear.
    pub refused: Vec<Refused<'a>>,
    /// The paths that no template stands for, the members of refused ones among them, sorted.
    pub paths: Vec<&'a FilePath>,
}

/// A template that is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// The template; its members stay as they are.
    pub found: Found<'a>,
    /// What it would cost.
    pub price: Price<'a>,
    /// What is too much.
    pub why: String,
}

/// A path of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known<'a> {
    path: &'a FilePath,
    is_own: bool,
}

impl<'a> Corpus<'a> {
    /// Of the image's own paths, and of others. Paths that no policy compares are in no corpus.
    pub fn new(own: impl IntoIterator<Item = &'a FilePath>, others: impl IntoIterator<Item = &'a FilePath>) -> Self {
        let own = own.into_iter().map(|path| Known { path, is_own: true });
        let others = others.into_iter().map(|path| Known { path, is_own: false });
        let mut all: Vec<Known> = own
            .chain(others)
            .filter(|known| components(known.path).is_some())
            .collect();
        // Of a path that is in both, the own one is first, and stays.
        all.sort_unstable_by_key(|known| (known.path, Reverse(known.is_own)));
        all.dedup_by_key(|known| known.path);
        let mut backward = all.clone();
        backward.sort_unstable_by(|a, b| a.path.as_bytes().iter().rev().cmp(b.path.as_bytes().iter().rev()));
        Self {
            forward: Sorted::new(all),
            backward: Sorted::new(backward),
        }
    }

    /// How many paths are in it.
    pub fn len(&self) -> usize {
        self.forward.paths.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.forward.paths.is_empty()
    }

    /// What each of these templates costs. Each path of the corpus is looked at once, however many templates there are.
    pub fn prices(&self, templates: &[Template]) -> Vec<Price<'a>> {
        let mut costs: Vec<(u64, Admitted)> = vec![(0, Admitted::default()); templates.len()];
        let set = TemplateSet::new(templates);
        for known in &self.forward.paths {
            for index in set.matching(known.path) {
                let Some((covered, admitted)) = costs.get_mut(index) else {
                    continue;
                };
                if known.is_own {
                    *covered += 1;
                } else {
                    admitted.admitted += 1;
                    if sensitive(known.path).is_some() {
                        admitted.add_sensitive(known.path);
                    }
                }
            }
        }
        let prices = templates.iter().zip(costs).map(|(template, (covered, admitted))| {
            let (compiled, policy) = self.compile(template);
            Price {
                covered,
                template: admitted,
                compiled,
                policy,
            }
        });
        prices.collect()
    }

    /// What a policy with this operator admits.
    pub fn admitted(&self, operator: &Operator) -> Admitted<'a> {
        match operator {
            Operator::Equal(value) => self.forward.admitted(|path| path.cmp(value.as_bytes())),
            Operator::Prefix(value) => self.forward.admitted(|path| {
                let begin = path.get(..value.len()).unwrap_or(path);
                begin.cmp(value.as_bytes())
            }),
            Operator::Postfix(value) => self.backward.admitted(|path| {
                let end = path.len().saturating_sub(value.len());
                path.iter().skip(end).rev().cmp(value.as_bytes().iter().rev())
            }),
        }
    }

    /// The cheapest of all that a template can become.
    fn compile(&self, template: &Template) -> (Compiled, Admitted<'a>) {
        let best = template.operators();
        let first = (best.clone(), self.admitted(&best.operator));
        let others = template.compilations().into_iter().filter(|other| *other != best);
        others.fold(first, |best, other| {
            let admitted = self.admitted(&other.operator);
            if (admitted.sensitive_count, admitted.admitted) < (best.1.sensitive_count, best.1.admitted) {
                (other, admitted)
            } else {
                best
            }
        })
    }

    /// Takes the templates that cost too much away.
    pub fn refuse(&self, mined: Mined<'a>, max: MaxPrice) -> Priced<'a> {
        let templates: Vec<Template> = mined.templates.iter().map(|found| found.template.clone()).collect();
        let mut priced = Priced {
            paths: mined.paths,
            ..Priced::default()
        };
        for (found, price) in mined.templates.into_iter().zip(self.prices(&templates)) {
            match price.over(max) {
                None => priced.made.push((found, price)),
                Some(why) => {
                    priced.paths.extend(&found.members);
                    priced.refused.push(Refused { found, price, why });
                }
            }
        }
        priced.paths.sort_unstable();
        priced
    }
}

impl Price<'_> {
    /// What of it is more than it may be.
    fn over(&self, max: MaxPrice) -> Option<String> {
        let (policy, operator) = (&self.policy, &self.compiled.operator);
        if policy.sensitive_count > max.sensitive {
            let (count, most) = (policy.sensitive_count, max.sensitive);
            return Some(format!(
                "{operator} admits {count} sensitive paths that the image has not used, and {most} is the maximum"
            ));
        }
        let (count, most) = (policy.admitted, max.admitted);
        (count > most).then(|| {
            format!("{operator} admits {count} known paths that the image has not used, and {most} is the maximum")
        })
    }
}

impl<'a> Admitted<'a> {
    fn add_sensitive(&mut self, path: &'a FilePath) {
        self.sensitive_count += 1;
        if self.sensitive.len() < SENSITIVE_MAX {
            self.sensitive.push(path);
        }
    }
}

/// Paths in an order in which those with one beginning, or one end, are side by side.
#[derive(Clone, Debug)]
struct Sorted<'a> {
    paths: Vec<Known<'a>>,
    /// For each place and the end, how many before it are not the image's own.
    others: Vec<u64>,
    /// The places of the sensitive ones among those, ascending.
    sensitive: Vec<usize>,
}

impl<'a> Sorted<'a> {
    fn new(paths: Vec<Known<'a>>) -> Self {
        let mut others = vec![0];
        others.extend(paths.iter().scan(0, |count, known| {
            *count += u64::from(!known.is_own);
            Some(*count)
        }));
        let is_sensitive = |known: &Known| !known.is_own && sensitive(known.path).is_some();
        let places = paths.iter().enumerate().filter(|(_, known)| is_sensitive(known));
        let sensitive = places.map(|(place, _)| place).collect();
        Self {
            paths,
            others,
            sensitive,
        }
    }

    /// What is equal by this order, which must be the one of the paths.
    fn admitted(&self, order: impl Fn(&[u8]) -> std::cmp::Ordering) -> Admitted<'a> {
        let order = |known: &Known| order(known.path.as_bytes());
        let start = self.paths.partition_point(|known| order(known).is_lt());
        let end = self.paths.partition_point(|known| order(known).is_le());
        let others = |place: usize| self.others.get(place).copied().unwrap_or_default();
        let [first, last] = [start, end].map(|place| self.sensitive.partition_point(|sensitive| *sensitive < place));
        let sensitive = self.sensitive.get(first..last).unwrap_or_default();
        let listed = sensitive
            .iter()
            .take(SENSITIVE_MAX)
            .filter_map(|place| Some(self.paths.get(*place)?.path));
        let mut listed: Vec<&FilePath> = listed.collect();
        listed.sort_unstable();
        Admitted {
            admitted: others(end) - others(start),
            sensitive_count: sensitive.len() as u64,
            sensitive: listed,
        }
    }
}
