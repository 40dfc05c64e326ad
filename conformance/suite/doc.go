// Package suite holds the conformance cases that the official Go client runs,
// and what runs them against a cluster given by its name server address.
//
// A Case is one promise of the RocketMQ protocol as an application sees it. The
// same cases run in `go test ./conformance/clients` against Merlin and against
// the Java servers, and in the conformance command against any cluster. They
// make topics and groups of their own with names that no one else has, remove
// them at the end, and never sleep: they wait for what they expect with a
// deadline. What a client does at random (see doc comment of Env.Push) is
// waited out, never tried again.
//
// Run owns one goroutine a case and waits for all of them. The locks are inside
// Env (its result) and Inbox (what a consumer got). Killing a consumer needs a
// process of its own: a program that runs the suite calls Child first thing in
// main, or in TestMain.
package suite
