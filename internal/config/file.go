package config

// File is a TOML file of another kind than that of an application, whose mistakes are being looked for.
type File struct{ d *document }

// Read decodes the text of a TOML file strictly into v, a pointer to a struct, and has check look for what a decoder
// cannot see, unless the text is not TOML at all. The name of the file is for messages. Errors are as those of [Parse]:
// all of them, in the order of their lines.
func Read(file, text string, v any, check func(*File)) error {
	d := newDocument(file, text)
	if len(d.errs) == 0 {
		d.decode(v, d.root)
		check(&File{d})
	}
	if len(d.errs) > 0 {
		return d.err()
	}
	return nil
}

// Has reports whether there is a key at the end of a path.
func (f *File) Has(path ...string) bool {
	_, ok := f.d.at(path...)
	return ok
}

// Keys returns the keys of the table at the end of a path, in the order of the text.
func (f *File) Keys(path ...string) (names []string) {
	if k := f.d.find(path); k.node != nil {
		for _, below := range k.node.keys {
			names = append(names, below.name)
		}
	}
	return names
}

// Fail notes a mistake at the key at the end of a path, or at the last part of it that is there.
func (f *File) Fail(path []string, format string, args ...any) {
	offset, ok := 0, false
	for n := len(path); n > 0 && !ok; n-- {
		offset, ok = f.d.at(path[:n]...)
	}
	f.d.fail(offset, format, args...)
}

// FailElement notes a mistake at an element of the list at the end of a path.
func (f *File) FailElement(i int, path []string, format string, args ...any) {
	if offsets := f.d.elements(path...); i < len(offsets) {
		f.d.fail(offsets[i], format, args...)
		return
	}
	f.Fail(path, format, args...)
}

// Show returns a path as the file has it, such as servers."web@eu".count.
func Show(path ...string) string { return show(path...) }
