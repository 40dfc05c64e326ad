package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is the path of the project's module.
const module = "github.com/merlinmq/merlin"

// file is one parsed Go file.
type file struct {
	path      string // from the root, with slashes
	pkg       string // folder from the root
	test      bool
	generated bool
	lines     int
	ast       *ast.File
	fset      *token.FileSet
}

// root is the folder of go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	return dir
}

// sources parses every Go file of the project.
func sources(t *testing.T) []file {
	t.Helper()
	dir := root(t)
	var files []file
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != dir && (strings.HasPrefix(name, ".") || name == "testdata" || name == "target") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parse(dir, path)
		files = append(files, f)
		return err
	})
	require.NoError(t, err)
	require.Greater(t, len(files), 100, "the walk finds the project")
	return files
}

func parse(dir, path string) (file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return file{}, err
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return file{}, err
	}
	rel = filepath.ToSlash(rel)
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, rel, text, parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	pkg := ""
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		pkg = rel[:i]
	}
	return file{
		path: rel, pkg: pkg, test: strings.HasSuffix(rel, "_test.go"), generated: ast.IsGenerated(parsed),
		lines: strings.Count(string(text), "\n"), ast: parsed, fset: fset,
	}, nil
}

// under reports whether a package is a folder or below it.
func under(pkg string, folders ...string) bool {
	for _, f := range folders {
		if pkg == f || strings.HasPrefix(pkg, f+"/") {
			return true
		}
	}
	return false
}
