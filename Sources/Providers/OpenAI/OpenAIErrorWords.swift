// The codes, types and texts by which servers tell their errors apart, where the status says too little.

enum OpenAIErrorWords {
    /// What type, code or message say; nil when the status must decide.
    static func classify(type: String, code: String, message: String) -> FailureClass? {
        if billing.contains(code) || billing.contains(type) { return .quotaExhausted }
        if let found = codes[code] ?? types[type] { return found }
        let text = message.lowercased()
        return texts.first { text.contains($0.part) }?.means
    }

    /// Money is spent, or was never there: waiting does not help.
    private static let billing: Set<String> = [
        "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded", "organization_usage_limit_exceeded", "billing_not_active",
        "billing_hard_limit_reached", "insufficient_balance", "insufficient_credits",
    ]

    private static let codes: [String: FailureClass] = [
        "context_length_exceeded": .contextLengthExceeded,
        "unsupported_parameter": .unsupportedParameter, "unsupported_value": .unsupportedParameter,
        "unknown_parameter": .unsupportedParameter,
        "content_filter": .contentFiltered,
        "tool_use_failed": .modelOutputError,
        "rate_limit_exceeded": .rateLimited, "slow_down": .rateLimited,
        "server_is_overloaded": .overloaded, "capacity_exceeded": .overloaded,
        "invalid_api_key": .authentication, "model_not_found": .notFound,
    ]

    private static let types: [String: FailureClass] = [
        "exceed_context_size_error": .contextLengthExceeded,
        "extra_forbidden": .unsupportedParameter,
        "unavailable_error": .overloaded, "service_unavailable_error": .overloaded, "overloaded_error": .overloaded,
        "rate_limit_error": .rateLimited, "rate_limit_exceeded": .rateLimited,
        "server_error": .serverError,
    ]

    /// Parts of messages in lower case, of servers that have no code for it. The first that fits counts.
    private static let texts: [(part: String, means: FailureClass)] = [
        // OpenAI and vLLM, SGLang, llama.cpp, TGI, TensorRT-LLM.
        ("maximum context length", .contextLengthExceeded), ("context window", .contextLengthExceeded),
        ("model's context length", .contextLengthExceeded), ("available context size", .contextLengthExceeded),
        ("`inputs` tokens + `max_new_tokens` must be <=", .contextLengthExceeded),
        ("exceeds the maximum input length", .contextLengthExceeded),
        ("exceeds maximum input length", .contextLengthExceeded),
        ("function tools with reasoning_effort are not supported", .unsupportedParameter),
        // Pydantic (FastAPI servers, Mistral), older OpenAI, LiteLLM.
        ("extra inputs are not permitted", .unsupportedParameter), ("extra_forbidden", .unsupportedParameter),
        ("unrecognized request argument", .unsupportedParameter), ("unsupportedparamserror", .unsupportedParameter),
        ("unsupported parameter", .unsupportedParameter), ("unknown parameter", .unsupportedParameter),
        ("invalid model name", .notFound),
        ("insufficient balance", .quotaExhausted), ("billing hard limit", .quotaExhausted),
    ]
}
