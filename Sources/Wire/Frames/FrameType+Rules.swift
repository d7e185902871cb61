// What the header of each type of frame may say: the columns of the table in PROTOCOL.md, section 3.

extension FrameType {
    /// Who may send a frame.
    enum Sender {
        /// A client of any role.
        case client
        /// A client that asks for answers: any role but `node`.
        case service
        /// The side that accepted the connection.
        case server
        /// Either side.
        case both
    }

    /// Where a frame belongs.
    enum Place { case connection, stream, either }

    var sender: Sender {
        switch self {
        case .hello, .cancel, .subscribe, .report: .client
        case .request, .body, .resume: .service
        case .helloOK, .accepted, .delta, .event, .end, .error, .snapshot, .update, .hint: .server
        case .ping, .pong, .credit, .goAway, .connectionError: .both
        }
    }

    private var place: Place {
        switch self {
        case .hello, .helloOK, .ping, .pong, .goAway, .connectionError, .hint: .connection
        case .request, .body, .cancel, .resume, .accepted, .delta, .event, .end, .error, .subscribe, .snapshot, .update,
            .report:
            .stream
        case .credit: .either
        }
    }

    /// What must be agreed before the frame may be sent.
    private var capability: Capabilities {
        switch self {
        case .resume: .resume
        case .subscribe, .snapshot, .update, .report: .controlPlane
        case .hint: .hints
        case .hello, .helloOK, .ping, .pong, .credit, .goAway, .connectionError, .request, .body, .cancel, .accepted,
            .delta, .event, .end, .error:
            []
        }
    }

    private func flags(agreed: Capabilities) -> FrameFlags {
        switch self {
        case .hello, .helloOK, .end, .error, .subscribe: .fields
        case .accepted: agreed.contains(.resume) ? .fields : []
        case .request, .body, .snapshot, .update: .more
        case .ping, .pong, .credit, .goAway, .connectionError, .cancel, .resume, .delta, .event, .report, .hint: []
        }
    }

    /// Checks capability, flags and stream of a header, in this order, before anything of the payload is looked at.
    func check(_ header: FrameHeader, agreed: Capabilities) throws(WireFault) {
        guard agreed.isSuperset(of: capability) else { throw WireFault(.capability) }
        guard header.flags.subtracting(flags(agreed: agreed)).isEmpty else { throw WireFault(.unknownFlag) }
        switch place {
        case .connection: guard header.stream == 0 else { throw WireFault(.wrongStream) }
        case .stream: guard header.stream != 0 else { throw WireFault(.wrongStream) }
        case .either: break
        }
    }
}
