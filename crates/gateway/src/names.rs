//! What models are called here. Pure: offers go in, names come out.
//!
//! A hash is always a model's name, and nobody else's. What a provider calls its model is no promise, so a plain name is
//! given away once: to the model that most providers sold under it when the gateway first saw the name. It stays with
//! that model as long as the gateway runs, also while nobody sells it; every other model of the name is called
//! `name@hash`. If two have as many providers at first, the name is nobody's until one has more. When as many names are
//! given away as are remembered, models of other names are called `name@hash`: no name is taken back to give another.

use std::collections::{BTreeMap, BTreeSet};

use tilth_protocol::ContentHash;

/// Most names that are given away: at most 128 bytes each, and many times what all providers of a large network sell.
const MAX_NAMES: usize = 1 << 16;

/// A model as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) model: ContentHash,
}

/// Models by what providers call them, each with the number of these providers.
pub(crate) type Offered<'a> = BTreeMap<&'a str, BTreeMap<ContentHash, usize>>;

/// Names and whose they are.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// What the operator calls models; before what providers call them.
    operators: BTreeMap<String, ContentHash>,
    /// To whom the plain names belong.
    held: BTreeMap<String, ContentHash>,
}

/// Whether a provider may call a model so: not like a hash, and not like the long form of another's name.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains('@') && name.parse::<ContentHash>().is_err()
}

impl Names {
    pub(crate) fn new(operators: BTreeMap<String, ContentHash>) -> Self {
        Self { operators, held: BTreeMap::new() }
    }

    /// Gives names away that are seen for the first time.
    pub(crate) fn see(&mut self, offered: &Offered<'_>) {
        for (name, models) in offered {
            if !is_plain(name) || self.held.contains_key(*name) {
                continue;
            }
            if self.held.len() >= MAX_NAMES {
                return;
            }
            let most = models.values().max().copied().unwrap_or_default();
            let mut leading = models.iter().filter(|(_, count)| **count == most);
            if let (Some((model, _)), None) = (leading.next(), leading.next()) {
                self.held.insert((*name).to_owned(), *model);
            }
        }
    }

    /// All that is offered, by every name that it has here.
    pub(crate) fn list(&self, offered: &Offered<'_>) -> Vec<Listed> {
        let all: BTreeSet<_> = offered.values().flat_map(BTreeMap::keys).copied().collect();
        let operators = self.operators.iter().filter(|(_, model)| all.contains(model));
        let mut listed: Vec<Listed> =
            operators.map(|(id, model)| Listed { id: id.clone(), model: *model }).collect();
        let mut named: BTreeSet<_> = listed.iter().map(|listed| listed.model).collect();
        for (name, models) in offered.iter().filter(|(name, _)| is_plain(name)) {
            let held = self.held.get(*name).filter(|_| !self.operators.contains_key(*name));
            let holder = held.filter(|model| models.contains_key(model));
            if let Some(model) = holder {
                listed.push(Listed { id: (*name).to_owned(), model: *model });
            }
            if holder.is_none() || models.len() > 1 {
                let long =
                    |model: &ContentHash| Listed { id: format!("{name}@{model}"), model: *model };
                listed.extend(models.keys().map(long));
            }
            named.extend(models.keys());
        }
        let nameless = all.difference(&named);
        listed.extend(nameless.map(|model| Listed { id: model.to_string(), model: *model }));
        listed
    }

    /// The model of a hash or name. What looks like a hash is one.
    pub(crate) fn resolve(&self, name: &str, offered: &Offered<'_>) -> Option<Listed> {
        let hash = name.parse::<ContentHash>().ok();
        let meant = |listed: &Listed| match hash {
            Some(hash) => listed.model == hash,
            None => listed.id == name,
        };
        self.list(offered).into_iter().find(meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: ContentHash = ContentHash([1; 32]);
    const OTHER: ContentHash = ContentHash([2; 32]);

    fn offers<'a>(all: &[(&'a str, ContentHash, usize)]) -> Offered<'a> {
        let mut offered = Offered::new();
        for (name, model, providers) in all {
            offered.entry(name).or_default().insert(*model, *providers);
        }
        offered
    }

    fn ids(names: &Names, offered: &Offered<'_>) -> Vec<String> {
        names.list(offered).into_iter().map(|listed| listed.id).collect()
    }

    #[test]
    fn a_name_stays_with_the_model_that_had_it_first() {
        let mut names = Names::default();
        names.see(&offers(&[("smol", GOOD, 1)]));
        // Many that call another model so change nothing, not even when the first is away.
        let crowd = offers(&[("smol", GOOD, 1), ("smol", OTHER, 40)]);
        names.see(&crowd);
        assert_eq!(names.resolve("smol", &crowd).unwrap().model, GOOD);
        assert_eq!(
            ids(&names, &crowd),
            ["smol".to_owned(), format!("smol@{GOOD}"), format!("smol@{OTHER}")]
        );
        let alone = offers(&[("smol", OTHER, 40)]);
        names.see(&alone);
        assert_eq!(names.resolve("smol", &alone), None);
        assert_eq!(names.resolve(&format!("smol@{OTHER}"), &alone).unwrap().model, OTHER);
        names.see(&crowd);
        assert_eq!(names.resolve("smol", &crowd).unwrap().model, GOOD);
    }

    #[test]
    fn at_first_sight_most_providers_decide_and_equal_ones_do_not() {
        let mut names = Names::default();
        let equal = offers(&[("smol", GOOD, 2), ("smol", OTHER, 2)]);
        names.see(&equal);
        assert_eq!(names.resolve("smol", &equal), None);
        let more = offers(&[("smol", GOOD, 3), ("smol", OTHER, 2)]);
        names.see(&more);
        assert_eq!(names.resolve("smol", &more).unwrap().model, GOOD);
    }

    #[test]
    fn no_provider_takes_a_hash_or_a_long_name_of_another_model() {
        let mut names = Names::default();
        let (hash, long) = (GOOD.to_string(), format!("smol@{GOOD}"));
        let shouted = format!("0x{}", hash.to_uppercase());
        let evil =
            [(hash.as_str(), OTHER, 9), (long.as_str(), OTHER, 9), (shouted.as_str(), OTHER, 9)];
        let offered = offers(&[&evil[..], &[("smol", GOOD, 1), ("", OTHER, 1)]].concat());
        names.see(&offered);
        for meant in [&hash, &shouted] {
            assert_eq!(names.resolve(meant, &offered).unwrap().model, GOOD);
        }
        assert_eq!(names.resolve(&long, &offered), None, "there is only one smol");
        assert_eq!(ids(&names, &offered), ["smol".to_owned(), OTHER.to_string()]);
        let without = offers(&evil);
        assert_eq!(names.resolve(&hash, &without), None);
    }

    #[test]
    fn the_operators_names_come_first() {
        let mut names = Names::new(BTreeMap::from([("smol".to_owned(), OTHER)]));
        let offered = offers(&[("smol", GOOD, 9), ("x", OTHER, 1)]);
        names.see(&offered);
        assert_eq!(names.resolve("smol", &offered).unwrap().model, OTHER);
        assert_eq!(ids(&names, &offered), ["smol".to_owned(), format!("smol@{GOOD}"), "x".into()]);
    }

    #[test]
    fn a_promised_name_is_kept_when_there_are_too_many_of_them() {
        let mut names = Names::default();
        let first = offers(&[("smol", GOOD, 1)]);
        names.see(&first);
        // Whoever offers new names again and again gets no more of them, and takes none away.
        for round in 0..3 {
            let many: Vec<_> = (0..MAX_NAMES).map(|number| format!("{round}.{number}")).collect();
            let many: Vec<_> = many.iter().map(|name| (name.as_str(), OTHER, 1)).collect();
            names.see(&offers(&many));
            assert_eq!(names.held.len(), MAX_NAMES);
        }
        let later = offers(&[("smol", OTHER, 40), ("smol", GOOD, 1), ("new", OTHER, 1)]);
        names.see(&later);
        assert_eq!(names.resolve("smol", &later).unwrap().model, GOOD);
        assert_eq!(names.resolve("new", &later), None);
        assert_eq!(names.resolve(&format!("new@{OTHER}"), &later).unwrap().model, OTHER);
    }
}
