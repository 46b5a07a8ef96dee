//! Numbers about a running process, in the text format Prometheus reads.
//!
//! A process makes one [`Registry`], hands out counters, gauges and histograms from it, and serves
//! what [`Registry::render`] says (see [`crate::monitor`]). Recording is one or two atomic additions;
//! values that are cheaper to ask for than to keep are read when they are rendered.
//!
//! Names and labels are given by the program, never by its users: every label value that could come
//! from outside must be mapped to a fixed set first, or the registry grows without bound.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper bounds for things that take from a tenth of a millisecond to ten seconds, in seconds.
pub const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// One more, until the guard is dropped.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// What it is now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Takes one off a [`Gauge`] when dropped.
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How often something was how large.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    /// One per bound, and one for what is above all of them.
    counts: Vec<AtomicU64>,
    /// In millionths.
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Records how long something took.
    pub fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.put(time.as_secs_f64(), micros);
    }

    /// Records a number of things.
    pub fn record_count(&self, count: u32) {
        self.put(f64::from(count), u64::from(count) * 1_000_000);
    }

    fn put(&self, value: f64, millionths: u64) {
        let bucket = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum.fetch_add(millionths, Ordering::Relaxed);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

type Read = Box<dyn Fn() -> f64 + Send + Sync>;

enum Source {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    Read(Read),
}

struct Series {
    /// `a="b",c="d"`, or nothing.
    labels: String,
    source: Source,
}

struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    series: Vec<Series>,
}

/// All numbers of a process. Cheap to clone; clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    families: Arc<Mutex<Vec<Family>>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Names and values of labels, such as `[("method", "eth_call")]`.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Registry {
    /// A registry without numbers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new counter; its name should end in `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Counter {
        let counter = Counter::default();
        self.add(name, help, "counter", labels, Source::Counter(counter.clone()));
        counter
    }

    /// A new gauge.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Gauge {
        let gauge = Gauge::default();
        self.add(name, help, "gauge", labels, Source::Gauge(gauge.clone()));
        gauge
    }

    /// A new histogram with these upper bounds, in ascending order.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        bounds: &'static [f64],
    ) -> Histogram {
        let histogram = Histogram::new(bounds);
        self.add(name, help, "histogram", labels, Source::Histogram(histogram.clone()));
        histogram
    }

    /// A gauge that is asked for when it is rendered. `read` must be quick.
    pub fn read_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add(name, help, "gauge", labels, Source::Read(Box::new(read)));
    }

    /// A counter that is asked for when it is rendered. `read` must be quick and never fall.
    pub fn read_counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: Labels<'_>,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.add(name, help, "counter", labels, Source::Read(Box::new(read)));
    }

    /// Adds memory, processor time, threads, open files and start time of this process, as far as
    /// the system tells them.
    pub fn add_process(&self) {
        crate::process::register(self);
    }

    fn add(
        &self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
        labels: Labels<'_>,
        source: Source,
    ) {
        let mut text = String::new();
        for (label, value) in labels {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{label}=\"{}\"", escaped(value));
        }
        let series = Series { labels: text, source };
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        match families.iter_mut().find(|family| family.name == name) {
            Some(family) => {
                // The same series registered anew replaces the old one (a role that was restarted).
                family.series.retain(|other| other.labels != series.labels);
                family.series.push(series);
            }
            None => families.push(Family { name, help, kind, series: vec![series] }),
        }
    }

    /// Everything as of now, in the text format of Prometheus (version 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for Family { name, help, kind, series } in families.iter() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for one in series {
                render_series(&mut text, name, one);
            }
        }
        text
    }
}

fn render_series(text: &mut String, name: &str, series: &Series) {
    let labels = &series.labels;
    let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    // Writing to a string cannot fail.
    let _ = match &series.source {
        Source::Counter(counter) => writeln!(text, "{name}{braced} {}", counter.value()),
        Source::Gauge(gauge) => writeln!(text, "{name}{braced} {}", gauge.value()),
        Source::Read(read) => writeln!(text, "{name}{braced} {}", read()),
        Source::Histogram(histogram) => {
            let Buckets { bounds, counts, sum } = &*histogram.0;
            let comma = if labels.is_empty() { "" } else { "," };
            let mut below = 0;
            let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(counts) {
                below += count.load(Ordering::Relaxed);
                let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
            }
            let sum = Duration::from_micros(sum.load(Ordering::Relaxed)).as_secs_f64();
            writeln!(text, "{name}_sum{braced} {sum}\n{name}_count{braced} {below}")
        }
    };
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_rendered_as_prometheus_reads_it() {
        let registry = Registry::new();
        let calls = registry.counter("calls_total", "Calls.", &[("method", "a\"b\\")]);
        registry.counter("calls_total", "Calls.", &[("method", "c")]).add(7);
        let open = registry.gauge("open", "Open things.", &[]);
        let time = registry.histogram("time_seconds", "Time.", &[], &[0.1, 1.0]);
        registry.read_gauge("size", "Size.", &[], || 1.5);
        calls.increment();
        let held = open.hold();
        for millis in [50, 100, 101, 5000] {
            time.record(Duration::from_millis(millis));
        }
        let expected = "# HELP calls_total Calls.\n\
            # TYPE calls_total counter\n\
            calls_total{method=\"a\\\"b\\\\\"} 1\n\
            calls_total{method=\"c\"} 7\n\
            # HELP open Open things.\n\
            # TYPE open gauge\n\
            open 1\n\
            # HELP time_seconds Time.\n\
            # TYPE time_seconds histogram\n\
            time_seconds_bucket{le=\"0.1\"} 2\n\
            time_seconds_bucket{le=\"1\"} 3\n\
            time_seconds_bucket{le=\"+Inf\"} 4\n\
            time_seconds_sum 5.251\n\
            time_seconds_count 4\n\
            # HELP size Size.\n\
            # TYPE size gauge\n\
            size 1.5\n";
        assert_eq!(registry.render(), expected);
        drop(held);
        assert_eq!(open.value(), 0);
        assert_eq!(time.count(), 4);
    }

    #[test]
    fn a_series_registered_anew_replaces_the_old_one() {
        let registry = Registry::new();
        registry.counter("calls_total", "Calls.", &[]).add(5);
        let second = registry.counter("calls_total", "Calls.", &[]);
        second.add(2);
        assert!(registry.render().ends_with("calls_total 2\n"), "{}", registry.render());
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let registry = Registry::new();
        registry.add_process();
        let text = registry.render();
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_start_time_seconds") > 1.7e9);
        assert!(value("process_open_fds") >= 3.0);
    }
}
