//go:build tools

// Package tools pins the NATS CLI, with which the tests run the examples of examples/README.md.
package tools

import _ "github.com/nats-io/natscli/nats"
