// Package report runs the suites of the conformance tests on one or two
// clusters and writes down what came of it: text, JSON, JUnit XML or a page of
// HTML.
//
// A Column is what the suites saw on one cluster. A Report has the column of the
// cluster under test and, where there are two, that of the reference: what the
// reference did is what is expected, and a case that ends otherwise on the two is
// a difference. The answers of the wire cases are compared field by field, with
// the recorded ones of the Java servers 5.3.3 where there is no reference.
//
// Run owns the goroutines of the suites and waits for them; the writers are pure
// functions of a Report. The lock of progress keeps its lines whole.
package report
