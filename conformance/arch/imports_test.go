package arch

import (
	"go/ast"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// floors is the import rule of docs/ARCHITECTURE.md: what a package and the
// packages below it may import of the project.
var floors = []struct {
	pkg string
	may []string
}{
	{"compat", []string{"compat"}},
	{"protocol/wire", []string{"compat", "protocol/wire"}},
	{"protocol/message", []string{"compat", "protocol/message"}},
	{"protocol/header", []string{"compat", "protocol/wire", "protocol/header"}},
	{"protocol/body", []string{"compat", "protocol/wire", "protocol/body"}},
	{"protocol", []string{"compat", "protocol"}},
	{"remoting", []string{"compat", "protocol", "remoting"}},
	{"store", []string{"compat", "protocol/message", "store"}},
	{"namesrv", []string{"compat", "protocol", "remoting", "namesrv"}},
	{"broker/brokertest", []string{"compat", "protocol", "remoting", "namesrv", "broker"}},
	{"broker", []string{"compat", "protocol", "remoting", "store", "broker"}},
	// It runs whole programs side by side and measures them with cmd's bench; nothing imports it.
	{"conformance/versus", []string{"compat", "protocol", "remoting", "store", "namesrv", "broker", "conformance", "cmd"}},
	{"conformance", []string{"compat", "protocol", "remoting", "store", "namesrv", "broker", "conformance"}},
	{"cmd", []string{"compat", "protocol", "remoting", "store", "namesrv", "broker", "conformance", "cmd"}},
}

// verbs of the broker never import each other.
var verbs = []string{"send", "pull", "clientmanage", "consumeroffset", "query", "admin", "delay", "txn", "reply"}

func TestImports_GoDown(t *testing.T) {
	for _, f := range sources(t) {
		rule := floorOf(f.pkg)
		if rule == nil {
			t.Errorf("%s: package %q is on no floor: add it to floors", f.path, f.pkg)
			continue
		}
		for _, im := range f.ast.Imports {
			path, _ := strconv.Unquote(im.Path.Value)
			target, ours := strings.CutPrefix(path, module+"/")
			if !ours {
				continue
			}
			if !under(target, rule...) {
				t.Errorf("%s imports %s: %s may import only %v", f.path, target, f.pkg, rule)
			}
			checkBroker(t, f, target)
		}
	}
}

// TestVerbs_KnowPeers keeps connections out of what handles requests: a caller inside
// the process has none.
func TestVerbs_KnowPeers(t *testing.T) {
	peers := 0
	for _, f := range sources(t) {
		if f.test || !under(f.pkg, "broker") || f.pkg == "broker" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch sel.Sel.Name {
			case "Peer":
				peers++
			case "Conn":
				t.Errorf("%s: requests have a Peer, and no connection when they come from inside the process", f.fset.Position(n.Pos()))
			}
			return true
		})
	}
	require.Greater(t, peers, 10, "the walk finds the uses of peers")
}

func floorOf(pkg string) []string {
	for _, fl := range floors {
		if under(pkg, fl.pkg) {
			return fl.may
		}
	}
	return nil
}

// checkBroker holds the rules inside the broker: it knows the store through its
// facade, verbs stand side by side, and only the wiring sees them.
func checkBroker(t *testing.T, f file, target string) {
	t.Helper()
	if !under(f.pkg, "broker") {
		return
	}
	if strings.HasPrefix(target, "store/") && !f.test {
		t.Errorf("%s imports %s: the broker knows the store through its facade", f.path, target)
	}
	for _, v := range verbs {
		verb := "broker/" + v
		if under(target, verb) && !under(f.pkg, verb) && f.pkg != "broker" && !f.test {
			t.Errorf("%s imports the verb %s: only package broker wires verbs", f.path, v)
		}
	}
	if target == "broker" && !f.test && f.pkg != "broker/brokertest" {
		t.Errorf("%s imports package broker: nobody holds a *Broker", f.path)
	}
}
