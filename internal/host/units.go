package host

import "context"

type unitFacts struct{}

func (h *Host) systemdAnswers(context.Context) error { return nil }
