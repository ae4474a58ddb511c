//! Tables of the rollout policy.
