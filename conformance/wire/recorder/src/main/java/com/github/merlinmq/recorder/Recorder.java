package com.github.merlinmq.recorder;

import java.io.File;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * Recorder DIRECTORY writes all files of the test data there; Recorder facts FILE
 * writes only the facts.
 */
public final class Recorder {
    private Recorder() {
    }

    interface Part {
        void print(PrintStream out) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        System.setProperty(RemotingCommand.REMOTING_VERSION_KEY, Integer.toString(MQVersion.CURRENT_VERSION));
        if (args.length == 2 && args[0].equals("facts")) {
            write(new File(args[1]), Facts::print);
            System.exit(0);
        }
        File dir = new File(args[0]);
        write(new File(dir, "facts.tsv"), Facts::print);
        write(new File(dir, "headers.tsv"), Headers::print);
        write(new File(dir, "frames.tsv"), Headers::printFrames);
        write(new File(dir, "bodies.tsv"), Bodies::print);
        write(new File(dir, "register.tsv"), Bodies::printRegister);
        write(new File(dir, "records.tsv"), Records::print);
        write(new File(dir, "batches.tsv"), Records::printBatches);
        write(new File(dir, "properties.tsv"), Records::printProperties);
        write(new File(dir, "javaprops.tsv"), Texts::printProps);
        write(new File(dir, "hashes.tsv"), Texts::printHashes);
        write(new File(dir, "doubles.tsv"), Texts::printDoubles);
        System.exit(0);
    }

    private static void write(File file, Part part) throws Exception {
        try (PrintStream out = new PrintStream(new FileOutputStream(file), false, StandardCharsets.UTF_8)) {
            part.print(out);
        }
    }
}
