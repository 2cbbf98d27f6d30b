//! A host in memory: it has a specification and no kernel object, and its programs run where the caller runs.
//! Tests of what stands above hosts use it without privileges.

use crate::{HostSpec, Instance, InstanceError, SwitchEnd, sys};

/// A host without a namespace.
#[derive(Debug)]
pub struct DummyHost {
    spec: HostSpec,
    ends: Vec<SwitchEnd>,
}

impl DummyHost {
    /// Makes one.
    #[must_use]
    pub fn new(spec: HostSpec) -> Self {
        let ends = spec.interfaces.iter().map(|_| SwitchEnd::Dummy).collect();
        Self { spec, ends }
    }
}

impl Instance for DummyHost {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn spec(&self) -> &HostSpec {
        &self.spec
    }

    fn spawn(&self, command: sys::Spawn<'_>) -> Result<u32, InstanceError> {
        let program = command.program.to_owned();
        sys::spawn(command).map_err(|source| InstanceError::Spawn {
            host: self.spec.name.clone(),
            program,
            source,
        })
    }

    fn switch_ends(&self) -> &[SwitchEnd] {
        &self.ends
    }
}
