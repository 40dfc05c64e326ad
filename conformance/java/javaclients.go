package javaclients

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/merlinmq/merlin/conformance/reference"
)

// Client versions that the project can be built with.
const (
	V5 = "5.3.3"
	V4 = "4.9.8"
)

//go:embed pom.xml src
var project embed.FS

// Build builds the project with a client version unless that was done before,
// and returns the class path of the program and its libraries.
func Build(ctx context.Context, version string) (string, error) {
	if err := reference.Available(); err != nil {
		return "", err
	}
	all, err := contents()
	if err != nil {
		return "", err
	}
	// Programs with other sources, of another checkout, may run at the same time.
	dir := filepath.Join(reference.CacheDir(), fmt.Sprintf("clients-%s-%08x", version, crc32.ChecksumIEEE(all)))
	err = reference.Fill(dir, all, func(_, target string) error {
		work, err := os.MkdirTemp("", "merlin-clients-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		if err := os.CopyFS(work, project); err != nil {
			return err
		}
		return reference.Maven(ctx, "-f", filepath.Join(work, "pom.xml"), "-Pclient-"+version, "-Dmerlin.target="+target, "package")
	})
	if err != nil {
		return "", err
	}
	return reference.ClassPath(dir)
}

// contents is everything the build depends on.
func contents() ([]byte, error) {
	var all bytes.Buffer
	err := fs.WalkDir(project, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := project.ReadFile(path)
		all.WriteString(path + "\n")
		all.Write(b)
		return err
	})
	return all.Bytes(), err
}
