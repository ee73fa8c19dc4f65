package host

import "context"

type auditFacts struct{}

func (h *Host) auditAnswers(context.Context) error { return nil }
