package lazyregexp

import "testing"

func TestNew(t *testing.T) {
	t.Parallel()
	word := New(`^a+$`)
	if !word().MatchString("aa") || word().MatchString("b") {
		t.Error("the expression matches something else")
	}
	if first := word(); first != word() {
		t.Error("the expression is compiled twice")
	}
	wrong := New(`(`) // must not panic before it is used
	defer func() {
		if recover() == nil {
			t.Error("a wrong expression was used without a panic")
		}
	}()
	wrong()
}
