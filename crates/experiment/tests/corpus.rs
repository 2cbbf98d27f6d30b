//! The fuzzer's corpus holds, input by input, and so do its properties for arbitrary input.
#![allow(missing_docs)]

use heddle_experiment::fuzz;
use heddle_wire::fuzz::replay;
use proptest::prelude::*;

#[test]
fn experiment_files() {
    replay("experiment_file", fuzz::experiment_file);
}

proptest! {
    #[test]
    fn arbitrary_files(
        at in "[0-9]{1,3}(ms|s|m|h|us|x)?",
        what in "(up: true|up: false|set: \\{loss: 1%\\}|set: delay=[0-9]ms|flap: \\{down: 1s, up: 1s, times: [0-9]{1,5}\\}|run: x)",
        program in "(name: [a-z./]{0,3}, )?host: h[1-3], run: [a-z]{1,2}",
        expect in "(exit: [0-9]|find: '[a-z(*]{1,4}'|json: a.b, at_least: [0-9]|seconds: true, at_most: 1)",
    ) {
        fuzz::experiment_file(format!(
            "topology: minimal\nprograms:\n- {{{program}}}\nevents:\n- {{at: {at}, link: [h1, s1], {what}}}\n\
             expect:\n- {{program: h1-1, {expect}}}\n"
        ).as_bytes());
    }
}
