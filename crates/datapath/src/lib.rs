//! The packet engine: caches, actions, poll threads, over netdevs.
