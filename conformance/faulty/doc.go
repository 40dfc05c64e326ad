// Package faulty is a thin proxy before a name server and its broker that
// breaks one promise at a time, and a test that shows that the conformance cases
// see it: each fault turns the cases red that are named for it, and without a
// fault they are green.
//
// A Proxy listens on two ports. The answers of the name server name the
// proxied broker in place of the real one; beyond that a frame is passed on
// byte for byte unless the Fault changes it. Each connection has two
// goroutines, one per direction, and one for each frame that is held back;
// Close ends them all. It keeps no state about topics or groups, so that many
// proxies may share one cluster.
package faulty
