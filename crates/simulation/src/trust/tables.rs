//! Reports as tables in Markdown.

use super::{
    report::{Report, Row},
    sample::Sample,
};
use crate::adversary::ALL;

impl Report {
    /// As Markdown: GRAIN per world, what became of replicated ranges, of jobs that were cancelled, of kept ranges, and
    /// of those who hold.
    pub fn render(&self) -> String {
        let mut text = self.render_money();
        if self.rows.values().any(Row::is_replicated) {
            text.push('\n');
            text.push_str(&self.render_replicas());
        }
        if self.rows.values().any(Row::is_cancelled) {
            text.push('\n');
            text.push_str(&self.render_cancelled());
        }
        if self.rows.values().any(Row::is_kept) {
            text.push('\n');
            text.push_str(&self.render_keeps());
        }
        if self.rows.values().any(Row::is_looked_at) {
            text.push('\n');
            text.push_str(&self.render_spots());
        }
        text
    }

    /// How often mates found what their primaries had found, all worlds together.
    fn render_replicas(&self) -> String {
        let mut text = String::from(
            "| adversary | worlds | matched | without a mate | unequal | primary silent | forged ranges matched | should |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for (place, row) in self.rows.iter().filter(|(_, row)| row.is_replicated()) {
            let [_, matched, alone, unequal, silent] = row.counts.replicas;
            let (came, should) = often(row.counts.matches);
            text.push_str(&format!(
                "| {} | {} | {matched} | {alone} | {unequal} | {silent} | {came} | {should} |\n",
                ALL[*place].name, row.worlds,
            ));
        }
        text
    }

    /// What was out in jobs that were cancelled, and whether it was paid, all worlds together.
    fn render_cancelled(&self) -> String {
        let mut text = String::from(
            "| adversary | worlds | jobs cancelled | ranges in work then | handed in then | of those paid |\n\
             | --- | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for (place, row) in self.rows.iter().filter(|(_, row)| row.is_cancelled()) {
            let [jobs, in_work, handed_in, paid] = row.counts.cancelled;
            text.push_str(&format!(
                "| {} | {} | {jobs} | {in_work} | {handed_in} | {paid} |\n",
                ALL[*place].name, row.worlds,
            ));
        }
        text
    }

    /// What became of asks for holders, all worlds together.
    fn render_keeps(&self) -> String {
        let mut text = String::from(
            "| adversary | worlds | inputs held | inputs not held | held | failed once | not held | over before | paid without a deposit | asks held | should |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for (place, row) in self.rows.iter().filter(|(_, row)| row.is_kept()) {
            let [without, _, _, again, held, lost, dropped] = row.counts.holds;
            let [_, _, _, _, inputs, unserved, _] = row.counts.inputs;
            let (came, should) = often(row.counts.held);
            text.push_str(&format!(
                "| {} | {} | {inputs} | {unserved} | {held} | {again} | {lost} | {dropped} | {without} | {came} | {should} |\n",
                ALL[*place].name, row.worlds,
            ));
        }
        text
    }

    /// Who was seen to hold what it has signed for, all worlds together.
    fn render_spots(&self) -> String {
        let mut text = String::from(
            "| adversary | worlds | looked at | by too few | serve, and seen to | should | do not, and seen to | should |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for (place, row) in self.rows.iter().filter(|(_, row)| row.is_looked_at()) {
            let [few, enough] = row.counts.spots;
            let (served, should) = often(row.counts.served);
            let (unserved, should_not) = often(row.counts.unserved);
            text.push_str(&format!(
                "| {} | {} | {enough} | {few} | {served} | {should} | {unserved} | {should_not} |\n",
                ALL[*place].name, row.worlds,
            ));
        }
        text
    }

    fn render_money(&self) -> String {
        let mut text = String::from(
            "| adversary | worlds | foes | clients | honest providers | auditors | false ranges | of those paid | paid for nothing | given back | audits hit | should | honest stake lost | fees owed |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        );
        for (place, row) in &self.rows {
            let c = &row.counts;
            let mean = |sum: i128| tenths(sum, row.worlds);
            let mean_of = |sum: u128| mean(i128::try_from(sum).unwrap_or(i128::MAX));
            let [foes, clients, providers, auditors] = row.won.map(mean);
            let (hit, should) = often(c.hits);
            text.push_str(&format!(
                "| {} | {} | {foes} | {clients} | {providers} | {auditors} | {} | {} | {} | {} | {hit} | {should} | {} | {} |\n",
                ALL[*place].name,
                row.worlds,
                c.false_ranges,
                c.false_paid,
                mean_of(c.paid_for_nothing),
                mean_of(c.compensation),
                mean_of(c.honest_cut),
                mean_of(row.owed),
            ));
        }
        text
    }
}

/// How often something came, of how many, and how often it should have come; empty if it never could.
fn often(sample: Sample) -> (String, String) {
    if sample.trials == 0 {
        return (String::new(), String::new());
    }
    let (came, should) = (sample.came_permille(), sample.expected_permille());
    let came = format!("{}.{} % of {}", came / 10, came % 10, sample.trials);
    (came, format!("{}.{} %", should / 10, should % 10))
}

/// A mean in GRAIN with one decimal.
fn tenths(sum: i128, worlds: u64) -> String {
    let tenth = i128::try_from(tilth_protocol::amount::GRAIN / 10).unwrap_or(1);
    let tenths = sum / (tenth * i128::from(worlds.max(1)));
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{}", tenths.abs() / 10, tenths.abs() % 10)
}
