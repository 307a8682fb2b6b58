// Package bridge lets the verifiers of this module do what programs must not: make
// proofs, seal secrets and tell events in the name of a service. The root package offers
// a value, and whoever needs some of its methods says which.
package bridge

var root any

// Offer is called once, by the root package while the program starts.
func Offer(v any) struct{} {
	root = v
	return struct{}{}
}

// Root returns what was offered. T is an interface of the methods that the caller needs;
// one that is missing is a panic while the program starts.
func Root[T any]() T { return root.(T) }
