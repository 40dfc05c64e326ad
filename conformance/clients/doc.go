// Package clients runs the official clients against Merlin and against the
// Java servers: the Go client in process (conformance/suite), the Java clients
// and the Java admin tool as programs (conformance/java). It holds tests only;
// one cluster of each kind is started when the first test needs it and stopped
// by TestMain.
package clients
