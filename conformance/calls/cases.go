package calls

import (
	"slices"
	"strings"

	"github.com/merlinmq/merlin/conformance/suite"
	"github.com/merlinmq/merlin/protocol/wire"
)

// Cases returns all cases, in a fixed order.
func Cases() []Case { return cases(true) }

// cases returns them with or without what the recording knows of their answers.
func cases(expected bool) []Case {
	var all []Case
	for _, table := range [][]Case{
		sendCases(), batchCases(), replyCases(), backCases(), transactionCases(),
		pullCases(), memberCases(), lockCases(), offsetCases(), resetCases(), queryCases(),
		routeCases(), namesrvCases(), kvCases(), registrationCases(),
		topicCases(), groupCases(), statsCases(), clientCases(), configCases(), unknownCases(), hostileCases(),
	} {
		all = append(all, table...)
	}
	if expected {
		expect(all)
	}
	return all
}

// one is a case of one request.
func one(area, name string, want int32, promise string, st step) Case {
	return Case{Name: name, Promise: promise, Area: area, Code: st.code, want: want, steps: []step{st}}
}

// flow is a case of several requests; it is about the code given.
func flow(area, name string, code, want int32, promise string, steps ...step) Case {
	return Case{Name: name, Promise: promise, Area: area, Code: code, want: want, steps: steps}
}

// peers are the clients that the main case of a code is asked as, besides the
// Java client 5.3.3 with JSON headers.
var peers = []struct {
	name, who string
	how       how
}{
	{"binary", "with ROCKETMQ headers", how{binary: true}},
	{"go", "from a Go client", how{language: wire.Go, version: 317}},
	{"cpp", "from a C++ client with ROCKETMQ headers", how{language: wire.CPP, version: 317, binary: true}},
	{"ancient", "from a client of version 3.0.0", how{version: -1}},
}

// from adds the case as the other clients ask it.
func from(c Case) []Case {
	all := []Case{c}
	for _, p := range peers {
		v := c
		v.Name += "-" + p.name
		v.Promise = strings.TrimSuffix(c.Promise, ".") + ", asked " + p.who + "."
		v.steps = nil
		for _, st := range c.steps {
			st.how = p.how
			v.steps = append(v.steps, st)
		}
		all = append(all, v)
	}
	return all
}

// except leaves one of the other clients out.
func except(peer string, all []Case) []Case {
	return slices.DeleteFunc(all, func(c Case) bool { return strings.HasSuffix(c.Name, "-"+peer) })
}

// table joins cases and groups of them.
func table(parts ...any) []Case {
	var all []Case
	for _, p := range parts {
		switch p := p.(type) {
		case Case:
			all = append(all, p)
		case []Case:
			all = append(all, p...)
		}
	}
	return all
}

// own marks a case as one for a cluster of the caller's.
func own(c Case) Case {
	c.Own = true
	return c
}

// alone marks a case as one that also needs the cluster for itself: a Java broker
// that unmaps files while somebody reads them dies of it.
func alone(c Case) Case {
	c.Own, c.alone = true, true
	return c
}

// unknownCases ask for what no server of 5.3 answers.
func unknownCases() []Case {
	var all []Case
	const promise = "A request code that no server answers any more is refused as not supported."
	for _, code := range []int32{13, 22, 23, 27, 47, 50, 51, 52, 53, 54, 209, 210, 211, 212, 213, 214, 301, 302} {
		all = append(all, one(suite.Errors, "retired-"+itoa(code), 3, promise, step{code: code}))
	}
	for name, code := range map[string]int32{"negative": -1, "zero": 0, "huge": 2147483647} {
		all = append(all, one(suite.Errors, "unknown-code-"+name, 3, "An unknown request code is refused as not supported.", step{code: code}))
	}
	sortCases(all)
	return table(all,
		one(suite.Errors, "unknown-code-binary", 3, "An unknown request code is refused as not supported, with ROCKETMQ headers.",
			step{code: 30000, how: how{binary: true}}),
		one(suite.Errors, "unknown-code-names", 3, "A name server refuses request codes of brokers as not supported.", step{to: names, code: 310, ext: sendV2()}),
		one(suite.Errors, "unknown-code-broker", 3, "A broker refuses request codes of name servers as not supported.", step{code: 105, ext: fields{"topic": "$topic"}}),
		one(suite.Errors, "unknown-code-oneway", none, "A one-way request with an unknown code is not answered.", step{code: 30001, oneway: true}),
		one(suite.Errors, "fast-port-pull", 3, "The fast port does not serve pulls.", step{to: fast, code: 11, ext: pull()}),
		one(suite.Errors, "answer-envelope", 0, "An answer carries version and language of the server, and is marked as one.",
			step{code: 30, ext: fields{"topic": "$topic", "queueId": "0"}, envelope: true}),
		one(suite.Errors, "answer-envelope-binary", 0, "An answer to ROCKETMQ headers can be read; Java 5.3.3 writes it as JSON.",
			step{code: 30, ext: fields{"topic": "$topic", "queueId": "0"}, envelope: true, how: how{binary: true}}),
		one(suite.Errors, "answer-envelope-flag", 0, "Bits of the flag that mean nothing do not matter.",
			step{code: 30, ext: fields{"topic": "$topic", "queueId": "0"}, how: how{flag: 1 << 5}}),
	)
}
