package migrate

import (
	"fmt"
	"go/version"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// goVersion is the least version of Go that an application can require.
const goVersion = "1.26"

// modules plans what becomes of modules, of which some files may have changed.
func (p *Plan) modules(root fs.FS, files []string, to Target) error {
	for _, at := range files {
		before, err := fs.ReadFile(root, at)
		if err != nil {
			return err
		}
		mod, err := modfile.Parse(at, before, nil)
		if err != nil {
			return fmt.Errorf("cannot read %w", err)
		}
		dir := path.Dir(at)
		if !requires(mod, weaver) && !p.changes(dir, files) {
			continue
		}

		notes, err := to.edit(mod)
		if err != nil {
			return fmt.Errorf("cannot change %s: %w", at, err)
		}
		for i := range notes {
			notes[i].File = at
		}
		mod.SortBlocks()
		mod.Cleanup()
		after, err := mod.Format()
		if err != nil {
			return fmt.Errorf("cannot change %s: %w", at, err)
		}
		p.Modules = append(p.Modules, dir)
		if err := p.change(root, at, before, after, notes); err != nil {
			return err
		}
	}
	return nil
}

// requires reports whether a module requires another one.
func requires(mod *modfile.File, other string) bool {
	return slices.ContainsFunc(mod.Require, func(r *modfile.Require) bool { return r.Mod.Path == other })
}

// changes reports whether a file of Go in a module changes; the files of modules below it are not in it.
func (p *Plan) changes(dir string, modules []string) bool {
	return slices.ContainsFunc(p.files, func(f file) bool {
		return path.Ext(f.path) == ".go" && home(f.path, modules) == dir
	})
}

// home returns the folder of the module that a file is in.
func home(at string, modules []string) string {
	found := ""
	for _, m := range modules {
		dir := path.Dir(m)
		if (dir == "." || strings.HasPrefix(at, dir+"/")) && len(dir) > len(found) {
			found = dir
		}
	}
	return found
}

// edit has a module require Divisi in the place of Service Weaver.
func (to Target) edit(mod *modfile.File) (notes []Note, err error) {
	do := func(text string, problem error) {
		notes = append(notes, Note{Text: text})
		if err == nil {
			err = problem
		}
	}
	if requires(mod, weaver) {
		do("no longer requires "+weaver, mod.DropRequire(weaver))
	}
	for _, r := range slices.Clone(mod.Replace) {
		if r.Old.Path == weaver {
			do("no longer replaces "+weaver, mod.DropReplace(r.Old.Path, r.Old.Version))
		}
	}
	for _, t := range slices.Clone(mod.Tool) {
		if tool := t.Path; strings.HasPrefix(tool, weaver+"/") {
			do("no longer has the tool "+tool, mod.DropTool(tool))
		}
	}
	if mod.Go == nil || version.Compare("go"+mod.Go.Version, "go"+goVersion) < 0 {
		do("is of Go "+goVersion, mod.AddGoStmt(goVersion))
	}
	if requires(mod, divisi) {
		return notes, err
	}

	switch {
	case to.Replace != "":
		do("requires "+divisi+", from "+to.Replace, mod.AddRequire(divisi, "v0.0.0"))
		if err == nil {
			err = mod.AddReplace(divisi, "", to.Replace, "")
		}
	case to.Version != "":
		do("requires "+divisi+" "+to.Version, mod.AddRequire(divisi, to.Version))
	default:
		err = errNoRelease
	}
	return notes, err
}
